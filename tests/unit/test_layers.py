"""The layers: what BN is, its invariances and gradients, and the paired initial weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import BATCH_NORM as OPTIONS
from jobs import network_of

from bnstudy.experiment.layers import (
    BatchNorm,
    Dropout,
    Linear,
    Moments,
    build_network,
    initial_weights,
)

seeds = st.integers(0, 2**31)


def batch(seed: int, replicates: int = 2, n: int = 50, features: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(replicates, n, features, generator=generator, dtype=torch.float64)


@given(seeds, st.floats(-100, 100), st.floats(0.1, 100))
@settings(deadline=None, max_examples=50)
def test_output_has_mean_0_and_spread_1_whatever_the_inputs_mean_and_spread(seed, shift, scale):
    norm = BatchNorm(2, 4, **OPTIONS)
    out = norm(batch(seed) * scale + shift)
    zero, one = torch.zeros(2, 4, dtype=torch.float64), torch.ones(2, 4, dtype=torch.float64)
    torch.testing.assert_close(out.mean(1), zero, atol=1e-9, rtol=0)
    # σ contains ε: the spread is 1/√(1 + ε/Var), at most 1e-6 / (2 · 0.1² · ~0.5) below 1
    torch.testing.assert_close(out.std(1), one, atol=3e-4, rtol=0)


@given(seeds, st.floats(-10, 10), st.floats(0.5, 20))
@settings(deadline=None, max_examples=50)
def test_scale_and_shift_of_the_input_do_not_matter(seed, shift, scale):
    x = batch(seed)
    norm = BatchNorm(2, 4, **OPTIONS | {"epsilon": 1e-30})
    torch.testing.assert_close(norm(x * scale + shift), norm(x), atol=1e-10, rtol=1e-10)


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_agrees_with_pytorch_where_the_definitions_coincide(seed):
    """Divisor n in the normalisation (correction 0), training mode, one replicate."""
    x = batch(seed, replicates=1)
    ours = BatchNorm(1, 4, **OPTIONS | {"correction": 0})
    theirs = torch.nn.BatchNorm1d(4, eps=1e-6, dtype=torch.float64)
    torch.testing.assert_close(ours(x)[0], theirs(x[0]), atol=1e-12, rtol=1e-12)
    # momentum weighs the new value there and the old one here; the mean is averaged alike
    torch.testing.assert_close(ours.running_mean[0, 0], theirs.running_mean, atol=1e-14, rtol=0)


def test_running_values_are_those_of_the_articles_formula():
    x = batch(1)
    norm = BatchNorm(2, 4, **OPTIONS)
    norm(x)
    norm(x)
    mean, std = x.mean(1, keepdim=True), (x.var(1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(norm.running_mean, mean * (1 - 0.9**2))
    torch.testing.assert_close(norm.running_std, 0.9**2 + std * (1 - 0.9**2))
    norm.eval()
    torch.testing.assert_close(norm(x), (x - norm.running_mean) / norm.running_std)


@pytest.mark.parametrize("correction", [0, 1])
def test_gradients(correction):
    norm = BatchNorm(2, 3, **OPTIONS | {"correction": correction})
    x = batch(2, n=6, features=3).requires_grad_()
    assert torch.autograd.gradcheck(norm, (x,))


@pytest.mark.parametrize("training", [True, False])
def test_the_affine_map_is_the_same_function(training):
    generator = torch.Generator().manual_seed(3)
    linear = Linear(batch(4, n=3, features=7), batch(5, n=1, features=7))
    norm = BatchNorm(2, 7, **OPTIONS).train(training)
    for tensor in (norm.scale, norm.shift, norm.running_mean):
        tensor.data = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    x = batch(6, features=3)
    weight, bias = norm.affine(linear.affine(), Moments.of(x, 1))
    after_affine = norm.running_mean.clone()
    norm.running_mean.data = norm.running_mean  # forward from the state that affine left
    affine = x @ weight + bias
    plain = norm(linear(x)) if training else norm.eval()(linear(x))
    torch.testing.assert_close(affine, plain, atol=1e-12, rtol=1e-12)
    if training:  # a second update with the same batch: momentum · affine's + (1 - momentum) · mean
        expected = 0.9 * after_affine + 0.1 * linear(x).mean(1, keepdim=True)
        torch.testing.assert_close(norm.running_mean, expected, atol=1e-12, rtol=1e-12)


def test_the_draw_is_the_originals():
    torch.manual_seed(0)
    shapes = [(3, 20), (1, 20), (20, 3), (1, 3)]
    expected = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    for ours, theirs in zip(initial_weights(0, 20).values(), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_arms_share_their_initial_weights():
    none, batch_ = (network_of(arm, 5, [1, 2]) for arm in ("none", "batch"))
    for name, value in none.state_dict().items():
        assert torch.equal(value, batch_.state_dict()[name])
    assert torch.equal(none.hidden.weight[1], initial_weights(2, 5)["hidden.weight"])


def test_an_unknown_arm_is_refused():
    with pytest.raises(ModuleNotFoundError, match=r"arms\.layer"):
        build_network("layer", 5, [1], batch(1), {})


@given(seeds, st.integers(1, 40))
@settings(deadline=None, max_examples=25)
def test_the_extra_arms_start_from_the_other_ones_function(seed, width):
    """batch-matched is none, none-standardized is batch: in training mode, to 1e-12 of the outputs'
    size; batch-matched in evaluation mode as well, thanks to its running values."""
    x = batch(seed, n=60, features=3)
    arms = ("none", "batch", "batch-matched", "none-standardized")
    networks = {arm: network_of(arm, width, [1, 2], x) for arm in arms}
    with torch.no_grad():
        outputs = {arm: network(x) for arm, network in networks.items()}
        atol = 1e-12 * float(outputs["none"].abs().max())
        close = {"rtol": 0, "atol": atol}
        torch.testing.assert_close(outputs["batch-matched"], outputs["none"], **close)
        torch.testing.assert_close(outputs["none-standardized"], outputs["batch"], **close)
        fresh = network_of("batch-matched", width, [1, 2], x).eval()
        torch.testing.assert_close(fresh(x), outputs["none"], **close)


def test_dropout_drops_its_share_and_keeps_the_expectation():
    """200,000 values at rate 0.3: shares within 5 standard errors (0.005)."""
    dropped = Dropout(0.3, [1, 2])(torch.ones(2, 1000, 100, dtype=torch.float64))
    assert abs(float((dropped == 0).double().mean()) - 0.3) < 0.005
    kept = dropped[dropped != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / 0.7))
    assert not torch.equal(dropped[0], dropped[1])


def test_dropout_does_nothing_in_evaluation():
    h = batch(3)
    assert Dropout(0.3, [1, 2]).eval()(h) is h
