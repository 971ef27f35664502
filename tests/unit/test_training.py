"""Training: the fast path against the definition, and independence of how the work is cut."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnstudy import fused
from bnstudy.data import make_data
from bnstudy.networks import Affine, Linear, make_network
from bnstudy.training import checkpoint, plain_objective, train

RANGES = {"r": [-1.0, 1.0], "g": [-1.0, 1.0], "b": [-1.0, 1.0]}
BN = {"momentum": 0.9, "epsilon": 1e-6, "correction": 1}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def plain(network, inputs, targets):
    return plain_objective(torch.from_numpy(inputs), torch.from_numpy(targets))


def curves(arm, width, seeds, epochs, sizes=(1000, 300), **options):
    network = make_network(arm, width, seeds, BN)
    data = make_data(seeds, *sizes, RANGES)
    result, _ = train(network, data, epochs=epochs, learning_rate=1e-3, **options)
    return np.stack([result.train_loss, result.test_loss])


@pytest.mark.parametrize("arm", ["none", "batch"])
@pytest.mark.parametrize("width", [10, 30, 37, 300])
def test_results_do_not_depend_on_how_seeds_are_cut_into_blocks(arm, width):
    seeds = list(range(10))
    whole = curves(arm, width, seeds, 30)
    pieces = [seeds[0:3], seeds[3:4], seeds[4:10]]
    cut = np.concatenate([curves(arm, width, piece, 30) for piece in pieces], axis=1)
    np.testing.assert_array_equal(whole, cut)


def test_without_bn_the_fast_path_follows_the_definition_over_2000_epochs():
    fast, slow = curves("none", 30, [1, 2], 2000), curves("none", 30, [1, 2], 2000, objective=plain)
    np.testing.assert_allclose(fast, slow, rtol=1e-12)


def test_with_bn_the_fast_path_follows_the_definition_over_500_epochs():
    """To 1e-5, the size of what the bias before BN adds to the definition.

    Its gradient is 0 in exact arithmetic (and in the fold), and rounding noise of about 1e-12 in
    the definition, which Adam divides by itself + 1e-8: the bias drifts by up to 1e-7 an epoch,
    which the running mean follows with a lag of ten epochs. Measured: 4e-6.
    """
    fast, slow = curves("batch", 30, [1, 2], 500), curves("batch", 30, [1, 2], 500, objective=plain)
    np.testing.assert_allclose(fast, slow, rtol=1e-5)


def random_problem(seed, replicates, n, width):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    inputs, targets = draw(replicates, n, 3), draw(replicates, n, 3)
    parameters = [draw(replicates, 3, width), draw(replicates, 1, width),
                  draw(replicates, width, 3), draw(replicates, 1, 3)]  # fmt: skip
    return inputs, targets, [p.requires_grad_() for p in parameters]


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 300), st.integers(1, 40))
@settings(deadline=None, max_examples=40)
def test_losses_and_gradients_are_those_of_plain_pytorch(seed, replicates, n, width):
    """To 1e-12 of the terms that are added up, which are of order 1 here (N(0, 1) draws).

    Not of the sums: where a residual cancels, rounding is all that is left of it in both.
    """
    inputs, targets, (A, a, V, c) = random_problem(seed, replicates, n, width)
    upstream = torch.arange(1.0, replicates + 1, dtype=torch.float64)
    plainly = ((torch.tanh(inputs @ A + a) @ V + c - targets) ** 2).sum((1, 2))
    expected = torch.autograd.grad((plainly * upstream).sum(), (A, a, V, c))
    output = Linear(V.detach(), c.detach())
    losses = fused.Batch(inputs, targets, width).squared_error(Affine(A, a), output)
    got = torch.autograd.grad(
        (losses * upstream).sum(), (A, a, output.weight, output.bias), allow_unused=False
    )
    torch.testing.assert_close(losses, plainly, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(got, expected, strict=True):
        atol = 1e-12 * max(1.0, float(theirs.abs().max()))
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=atol)


def test_gradcheck():
    inputs, targets, (A, a, V, c) = random_problem(1, 2, 9, 5)
    problem = fused.Batch(inputs, targets, 5)

    def losses(A, a, V, c):
        return fused._SquaredError.apply(A, a, V, c, problem)

    assert torch.autograd.gradcheck(losses, (A, a, V, c))


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 30.0, 1e6])
def test_tanh_is_exact_to_rounding(scale):
    """Against NumPy's: absolute error below 1e-15 (2 / (e + 1) rounds at 1.1e-16 twice)."""
    x = np.zeros((3, 1000))
    x[0] = np.linspace(-scale, scale, 1000)
    h = np.empty((1, 1000))
    fused._activate(x, np.array([[1.0], [0], [0]]), np.zeros(1), h, 1000)
    np.testing.assert_allclose(h[0], np.tanh(x[0]), atol=1e-15, rtol=0)


def test_not_a_number_stays_one():
    x, h = np.zeros((3, 4)), np.zeros((1, 4))
    x[0] = [np.nan, np.inf, -np.inf, 0.0]
    fused._activate(x, np.array([[1.0], [0], [0]]), np.zeros(1), h, 4)
    np.testing.assert_array_equal(h[0], [np.nan, 1, -1, 0])


def test_the_checkpoint_holds_all_that_training_needs():
    network = make_network("batch", 4, [1, 2], BN)
    data = make_data([1, 2], 20, 10, RANGES)
    _, optimizer = train(network, data, epochs=3, learning_rate=1e-3)
    state = checkpoint(network, optimizer)
    assert set(network.state_dict()) <= set(state)
    # the bias before BN has no effect and so no gradient: Adam never touches it
    stepped = {"hidden.weight", "norm.scale", "norm.shift", "output.weight", "output.bias"}
    moments = {f"adam.{n}.{k}" for n in stepped for k in ("exp_avg", "exp_avg_sq", "step")}
    assert moments == {name for name in state if name.startswith("adam.")}
    assert state["adam.norm.scale.step"] == 3


def test_recording_is_before_the_update_for_training_and_after_it_for_testing():
    """One epoch by hand, with plain autograd and Adam."""
    data = make_data([5], 30, 20, RANGES)
    result = curves("none", 6, [5], 1, sizes=(30, 20))
    network = make_network("none", 6, [5])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    x, t = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_targets)
    loss = ((network(x) - t) ** 2).sum()
    loss.backward()
    optimizer.step()
    x, t = torch.from_numpy(data.test_inputs), torch.from_numpy(data.test_targets)
    after = ((network(x) - t) ** 2).sum()
    np.testing.assert_allclose(result.ravel(), [loss.item() / 30, after.item() / 20], rtol=1e-12)
