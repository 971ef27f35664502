"""Training: the fast path against the definition, and independence of how the work is cut."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnstudy import fused
from bnstudy.data import make_data
from bnstudy.networks import Affine, BatchNorm, Linear, make_network
from bnstudy.training import Training, flatten, folded_objective, plain_objective

RANGES = {"r": [-1.0, 1.0], "g": [-1.0, 1.0], "b": [-1.0, 1.0]}
BN = {"momentum": 0.9, "epsilon": 1e-6, "correction": 1}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def make(arm, width, seeds, sizes=(1000, 300), **options):
    data = make_data(seeds, *sizes, RANGES)
    network = make_network(
        arm, width, seeds,
        inputs=torch.from_numpy(data.train_inputs), batch_norm=BN, dropout={"rate": 0.3},
    )  # fmt: skip
    return Training(network, data, **{"learning_rate": 1e-3} | options)


def curves(arm, width, seeds, epochs, **options):
    result = make(arm, width, seeds, **options).run(epochs)
    return np.stack([result.train_loss, result.test_loss])


ARMS = ["none", "batch", "batch-matched", "none-standardized", "dropout"]
CASES = [(arm, w, None) for arm in ARMS[:2] for w in (10, 30, 37, 300)] + [
    *((arm, 37, None) for arm in ARMS[2:]), *((arm, 37, 300) for arm in ARMS[:2])
]  # fmt: skip


@pytest.mark.parametrize(("arm", "width", "batch_size"), CASES)
def test_results_do_not_depend_on_how_seeds_are_cut_into_blocks(arm, width, batch_size):
    seeds, options = list(range(10)), {"batch_size": batch_size}
    whole = curves(arm, width, seeds, 30, **options)
    pieces = [seeds[0:3], seeds[3:4], seeds[4:10]]
    cut = np.concatenate([curves(arm, width, piece, 30, **options) for piece in pieces], axis=1)
    np.testing.assert_array_equal(whole, cut)


def test_without_bn_the_fast_path_follows_the_definition_over_2000_epochs():
    fast = curves("none", 30, [1, 2], 2000)
    slow = curves("none", 30, [1, 2], 2000, objective=plain_objective)
    np.testing.assert_allclose(fast, slow, rtol=1e-12)


def test_with_bn_the_fast_path_follows_the_definition_over_500_epochs():
    """To 1e-9, where the definition takes the gradient of the bias before BN as the 0 that it is.

    In exact arithmetic that bias has no effect, and in the fold it cancels. In the definition its
    gradient is rounding noise of about 1e-12, which Adam divides by itself + 1e-8.
    """
    fast = curves("batch", 30, [1, 2], 500)
    definition = make("batch", 30, [1, 2], objective=plain_objective)
    hidden = definition.network.hidden
    hidden.bias.register_hook(torch.zeros_like)
    slow = definition.run(500)
    np.testing.assert_allclose(fast, [slow.train_loss, slow.test_loss], rtol=1e-9)


def test_what_the_bias_before_bn_adds_to_the_definition():
    """With its noise: train losses agree as well; test losses to 1e-5 (measured: 4e-6).

    The bias drifts by up to 1e-7 an epoch, and the running mean follows with a lag of ten epochs.
    """
    fast = curves("batch", 30, [1, 2], 500)
    slow = curves("batch", 30, [1, 2], 500, objective=plain_objective)
    np.testing.assert_allclose(fast[0], slow[0], rtol=1e-9)
    np.testing.assert_allclose(fast[1], slow[1], rtol=1e-5)


@pytest.mark.parametrize("arm", ["none", "batch"])
def test_the_path_for_gpus_follows_the_fast_path(arm):
    """On the CPU: the same arithmetic but for the order of sums. To 1e-9 over 200 epochs."""
    gpu_path = curves(arm, 30, [1, 2], 200, objective=folded_objective)
    np.testing.assert_allclose(gpu_path, curves(arm, 30, [1, 2], 200), rtol=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("arm", ["none", "batch"])
def test_a_gpu_gives_the_same_curves(arm):
    """To 1e-6, what rounding alone does to curves in 500 epochs being far below (see published/).

    Warm-up, recording and replay of the CUDA graph are all in there.
    """
    on_gpu = curves(arm, 30, [1, 2], 500, device="cuda")
    np.testing.assert_allclose(on_gpu, curves(arm, 30, [1, 2], 500), rtol=1e-6)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_device_is_refused_with_a_remedy():
    with pytest.raises(RuntimeError, match=r"set training\.device to cpu"):
        make("none", 5, [1], device="cuda")


def test_minibatches_of_everything_are_the_full_batch():
    """In another order, so to rounding; without BN, because of the bias before it (see above)."""
    whole, shuffled = (curves("none", 20, [1, 2], 100, batch_size=b) for b in (None, 1000))
    np.testing.assert_allclose(shuffled, whole, rtol=1e-10)


def test_minibatches_take_each_sample_once_an_epoch():
    training = make("none", 5, [1, 2], batch_size=300)
    seen = []
    training.batches.make = lambda inputs, targets: seen.append(inputs)
    list(training.batches())
    assert [len(batch[0]) for batch in seen] == [300, 300, 300, 100]
    together = torch.cat(seen, dim=1).sort(dim=1).values
    assert torch.equal(together, training.batches.inputs.sort(dim=1).values)


def test_dropout_is_trained_as_defined():
    fast = curves("dropout", 7, [1, 2], 20)
    slow = curves("dropout", 7, [1, 2], 20, objective=plain_objective)
    np.testing.assert_allclose(fast, slow, rtol=1e-11)


def test_a_minibatch_is_normalised_by_its_own_statistics():
    """Three epochs of two steps against the definition: the train losses (see above, the bias)."""
    options = {"sizes": (40, 20), "batch_size": 20}
    fast = curves("batch", 7, [1, 2], 3, **options)
    slow = curves("batch", 7, [1, 2], 3, objective=plain_objective, **options)
    np.testing.assert_allclose(fast[0], slow[0], rtol=1e-9)


@pytest.mark.parametrize("arm", ["none", "batch"])
def test_going_on_from_a_checkpoint_is_going_on(arm):
    whole = make(arm, 30, [1, 2]).run(120)
    first = make(arm, 30, [1, 2])
    first.run(70)
    second = make(arm, 30, [1, 2])
    second.load(first.state())
    rest = second.run(50)
    np.testing.assert_array_equal(whole.train_loss[:, 70:], rest.train_loss)
    np.testing.assert_array_equal(whole.test_loss[:, 70:], rest.test_loss)


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
    losses = fused.squared_error(fused.Batch(inputs, targets, width), Affine(A, a), output)
    got = torch.autograd.grad(
        (losses * upstream).sum(), (A, a, output.weight, output.bias), allow_unused=False
    )
    torch.testing.assert_close(losses, plainly, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(got, expected, strict=True):
        atol = 1e-12 * max(1.0, float(theirs.abs().max()))
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=atol)


@given(st.sampled_from(["none", "batch"]), st.integers(0, 2**31), st.integers(1, 3),
       st.integers(1, 40))  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_the_fast_network_is_the_definition(arm, seed, replicates, width):
    """Losses in training and evaluation mode, gradients and running values, against the readable
    definition by autograd: to 1e-12 of the terms added up, for which the largest entry stands."""
    inputs, targets, _ = random_problem(seed, replicates, 20, width)
    seeds = range(seed, seed + replicates)
    network, definition = (make_network(arm, width, seeds, batch_norm=BN) for _ in range(2))
    flatten(network)
    fast, batch = fused.FastNetwork(network), fused.Batch(inputs, targets, width)
    ours = {"train": fast.train(batch, network.moments(inputs)), "test": fast.test(batch)}
    theirs = {"train": ((definition(inputs) - targets) ** 2).sum((1, 2))}
    theirs["train"].sum().backward()
    definition.eval()
    theirs["test"] = ((definition(inputs) - targets) ** 2).sum((1, 2))
    for name, parameter in definition.named_parameters():
        if arm == "batch" and name == "hidden.bias":
            parameter.grad.zero_()  # 0 in exact arithmetic: what the definition has is rounding
        theirs[name], ours[name] = parameter.grad, network.get_parameter(name).grad
    for name, buffer in definition.named_buffers():
        theirs[name], ours[name] = buffer, network.get_buffer(name)
    theirs = {name: value.detach() for name, value in theirs.items()}
    largest = max(float(value.abs().max()) for value in theirs.values())
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-12, atol=1e-12 * largest)


@pytest.mark.parametrize(("arm", "trained"), [("none", 4), ("batch", 5)])
def test_a_variant_that_folds_by_itself_is_trained_as_well(arm, trained):
    """A fixed scale, and a norm of a class of its own, whose fold PyTorch differentiates."""

    class Variant(BatchNorm):
        pass

    seeds, data = [1, 2], make_data([1, 2], 50, 20, RANGES)
    results = []
    for objective in (None, plain_objective):
        network = make_network(arm, 7, seeds, batch_norm=BN)
        if arm == "batch":
            network.norm = Variant(2, 7, **BN)
            network.norm.scale.requires_grad_(False)
            network.hidden.bias.requires_grad_(False)  # its gradient is 0, see above
        training = Training(network, data, learning_rate=1e-3, objective=objective)
        assert len(training.gradients()) == trained - (arm == "batch")
        result = training.run(30)
        results.append([result.train_loss, result.test_loss])
    np.testing.assert_allclose(*results, rtol=1e-10)


def test_adam_is_pytorchs():
    """50 steps along gradients of very different sizes; to 1e-13 of the steps' sum."""
    generator = torch.Generator().manual_seed(3)
    ours, theirs = (torch.nn.Parameter(torch.ones(37, dtype=torch.float64)) for _ in range(2))
    adam, reference = fused.Adam(ours, 1e-3), torch.optim.Adam([theirs], lr=1e-3)
    for _ in range(50):
        sizes = 10.0 ** torch.linspace(-12, 6, 37, dtype=torch.float64)
        ours.grad = sizes * torch.randn(37, generator=generator, dtype=torch.float64)
        theirs.grad = ours.grad.clone()
        adam.step()
        reference.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=0)
    assert float(adam.state["step"]) == 50
    for name in ("exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(
            adam.state[name], reference.state[theirs][name], rtol=1e-12, atol=1e-25
        )


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


def test_the_checkpoint_names_all_that_training_needs():
    training = make("batch", 4, [1, 2], sizes=(20, 10))
    training.run(3)
    state = training.state()
    network = training.network
    assert set(network.state_dict()) <= set(state)
    names = [name for name, _ in network.named_parameters()]
    moments = {f"adam.{n}.{k}" for n in names for k in ("exp_avg", "exp_avg_sq")}
    assert moments | {"adam.step"} == {name for name in state if name.startswith("adam.")}
    assert state["adam.step"] == 3
    assert state["adam.norm.scale.exp_avg"].shape == network.norm.scale.shape


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
