"""Gradients against depth: the derivative by hand, published growth rates, the pilot's numbers."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from jobs import BATCH_NORM, RANGES, data_of
from made_up import gradients

from bnstudy.analysis.outcomes import gradient_pairs, layer_factor, layer_factors
from bnstudy.experiment.depth import gradient_norms, initial_weights, measure_gradients

SMALL = {
    "width": 5,
    "depth": [3, 4],
    "scales": [0.5, 1.0],
    "batch_norm": BATCH_NORM,
    "dataset": {"train_size": 20, "test_size": 1, "ranges": RANGES},
}


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_the_gradient_of_one_layer_is_the_one_by_hand():
    """∂L/∂z = 2 (y - t) W₂ᵀ ⊙ (1 - tanh² z)."""
    generator = torch.Generator().manual_seed(1)
    x, t = normal(generator, 7, 3), normal(generator, 7, 3)
    first, second = normal(generator, 3, 4), normal(generator, 4, 3)
    h = torch.tanh(x @ first)
    expected = (2 * (h @ second - t) @ second.T * (1 - h**2)).norm().item()
    assert gradient_norms([first, second], x, t, None) == pytest.approx([expected], rel=1e-12)


def test_rotations_keep_the_norm():
    """Without activation and BN, orthogonal weights pass a gradient on at its length."""
    generator = torch.Generator().manual_seed(2)
    weights = [torch.linalg.qr(normal(generator, 6, 6))[0] for _ in range(5)]
    x, t = normal(generator, 9, 6), normal(generator, 9, 6)
    norms = gradient_norms(weights, x, t, None, activation=lambda z: z)
    assert norms == pytest.approx([norms[0]] * 4, rel=1e-12)
    assert layer_factor(norms[0], norms[-1], 4) == pytest.approx(1, rel=1e-12)


def test_with_bn_the_scale_of_the_hidden_weights_does_not_matter():
    """Ioffe & Szegedy 2015, section 3.3; exact but for ε, 1e-6 beside variances of at least 1/3."""
    data = data_of([3], 50, 1)
    x, t = torch.from_numpy(data.train_inputs[0]), torch.from_numpy(data.train_targets[0])
    *hidden, output = initial_weights(3, width=8, depth=5, scale=None)
    norms = gradient_norms([*hidden, output], x, t, BATCH_NORM)
    scaled = gradient_norms([*(7 * weight for weight in hidden), output], x, t, BATCH_NORM)
    assert scaled == pytest.approx(norms, rel=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_bn_and_relu_make_gradients_explode_at_the_published_rate(seed):
    """√(π/(π - 1)) = 1.2111 a layer (Yang et al. 2019, arXiv 1902.08129), width and batch large.

    That is for a gradient that knows nothing of the activations it meets: huge random targets make
    the residual one. (With targets of size 1 the last factor is 0.95: the part of the residual that
    follows the outputs is what BN's backward pass takes out.)
    """
    generator = torch.Generator().manual_seed(seed)
    weights = [normal(generator, 256, 256) / 16 for _ in range(11)]
    x, t = normal(generator, 512, 256), 1e6 * normal(generator, 512, 256)
    norms = gradient_norms(weights, x, t, BATCH_NORM, torch.relu)
    published = math.sqrt(math.pi / (math.pi - 1))
    assert layer_factor(norms[0], norms[-1], 10) == pytest.approx(published, rel=0.02)
    assert norms[:-1] / norms[1:] == pytest.approx(published, rel=0.05)


def test_the_factors_are_those_of_the_pilot():
    """STUDY.md, H4: unscaled 2.37 -> 1.13, scaled 0.96 -> 1.12; one seed lies within 5 %."""
    settings = SMALL | {"width": 100, "depth": [50], "scales": [1.0]}
    factors = layer_factors(
        measure_gradients([0], **settings | {"dataset": SMALL["dataset"] | {"train_size": 1000}})
    ).sort_index()
    pilot = {
        ("unscaled", 10.0, "none"): 2.37,
        ("unscaled", 10.0, "batch"): 1.13,
        ("fan-in", 1.0, "none"): 0.96,
        ("fan-in", 1.0, "batch"): 1.12,
    }
    for cell, factor in pilot.items():
        assert factors[50, *cell].item() == pytest.approx(factor, rel=0.05)


def test_weights_of_every_size_are_the_same_draw():
    """That of the first edition, to the last bit: N(0, 1), and for σ_w = 1 times inputs^(-1/2)."""
    generator = torch.Generator().manual_seed(4)
    unscaled, critical, half = (initial_weights(4, 9, 3, scale) for scale in (None, 1.0, 0.5))
    shapes = [(3, 9), (9, 9), (9, 9), (9, 3)]
    for shape, one, other, smaller in zip(shapes, unscaled, critical, half, strict=True):
        draw = normal(generator, *shape)
        assert torch.equal(one, draw) and torch.equal(other, draw * shape[0] ** -0.5)
        assert torch.equal(smaller, other / 2)


def test_between_hidden_layers_the_articles_weights_are_of_size_root_width():
    first, *others = initial_weights(4, 9, 3, None)
    of_size, *rest = initial_weights(4, 9, 3, 3.0)
    torch.testing.assert_close(others, rest)
    torch.testing.assert_close(of_size, first * 3**0.5)


def test_small_weights_pass_on_a_gradient_times_their_size():
    """Where tanh is linear, W with entries from N(0, σ_w²/n) changes a length by σ_w on average."""
    settings = SMALL | {"width": 100, "depth": [20], "scales": [0.1, 0.25]}
    factors = layer_factors(measure_gradients([3000], **settings)).sort_index()
    for scale in settings["scales"]:
        factor = factors[20, "fan-in", scale, "none"].item()
        assert factor == pytest.approx(scale, rel=0.05)


def test_the_table_is_tidy_and_repeats_whatever_the_threads_and_other_seeds():
    table = measure_gradients([5, 6], **SMALL)
    key = ["depth", "initialization", "scale", "arm", "seed", "layer"]
    assert list(table) == [*key, "gradient_norm"] and not table.duplicated(key).any()
    assert len(table) == (3 + 4) * 3 * 2 * 2 and set(table.layer) == {1, 2, 3, 4}
    assert set(table.scale[table.initialization == "unscaled"]) == {5**0.5}
    torch.set_num_threads(2)
    alone = measure_gradients([6], **SMALL)
    rest = table[table.seed == 6].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, rest, check_exact=True)


@pytest.mark.parametrize("norm", [0.0, np.inf, np.nan])
def test_a_gradient_that_vanished_or_overflowed_at_one_size_is_the_worst(norm):
    table = gradients(3)
    lost = (table.scale == 0.5) & (table.arm == "none") & (table.seed == 1) & (table.layer == 1)
    table.loc[lost, "gradient_norm"] = norm
    assert np.isfinite(gradient_pairs(table, "worst")[2]).tolist() == [True, False, True]
    assert np.isfinite(gradient_pairs(table, "fan-in")[2]).all()


def test_vanished_and_exploded_gradients_are_not_finite_instead_of_an_error():
    factors = layer_factor(np.array([0.0, np.inf, 0.0]), np.array([1.0, 1.0, 0.0]), 3)
    np.testing.assert_array_equal(factors, [0, np.inf, np.nan])
