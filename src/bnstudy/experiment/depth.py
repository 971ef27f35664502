"""Gradients against depth at initialisation, with and without BN: what claim C4 is decided by.

A stack of D hidden layers without biases, on the article's data and summed squared loss:

    zₗ = hₗ₋₁ Wₗ, or BN(hₗ₋₁ Wₗ);   hₗ = tanh(zₗ),   h₀ = x;   y = h_D W_{D+1};   L = Σ (y - t)².

Measured is ‖∂L/∂zₗ‖ over batch and units, for every layer l, before any training; for the article's
weights, N(0, 1), and for N(0, σ_w²/inputs). Without BN, σ_w = 1 is critical for tanh: below it
activations die out, above it they are chaotic (Poole et al. 2016; Schoenholz et al. 2017). In
layers of 100 the article's weights are those of σ_w = 10; only the first layer's differ.

z is what enters tanh: with BN, BN's output. So both arms are compared at the same place, and the
norm does not depend on the scale of the weights before it. At BN's input it would: BN's backward
pass divides by σ, which is about 6 in a layer of 100 unscaled weights and about 1 in the first, of
3; that is a unit, not a gradient that grows (seeds 0-5: 1.18 and 1.14 per layer there instead of
1.13 and 1.12 here, unscaled and scaled weights).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from bnstudy.experiment.data import make_data
from bnstudy.experiment.layers import INPUTS, OUTPUTS, BatchNorm

ARMS = ("none", "batch")


def initial_weights(seed: int, width: int, depth: int, scale: float | None) -> list[Tensor]:
    """W₁ to W_{depth+1}, (inputs, outputs) each, drawn in that order from `seed`; float64.

    N(0, scale²/inputs); None: N(0, 1), the article's. The draw is the same for every scale.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = [INPUTS, *[width] * depth, OUTPUTS]
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64)
        * (1 if scale is None else scale * shape[0] ** -0.5)
        for shape in pairwise(sizes)
    ]


def gradient_norms(
    weights: Sequence[Tensor],
    inputs: Float64[Tensor, "sample input"],
    targets: Float64[Tensor, "sample output"],
    batch_norm: Mapping[str, Any] | None,
    activation: Callable[[Tensor], Tensor] = torch.tanh,
) -> Float64[np.ndarray, " layer"]:
    """‖∂L/∂zₗ‖ of every hidden layer (see the module).

    `batch_norm`: momentum, epsilon and correction of the study's BN, in training mode with scale 1
    and shift 0; None: no BN.
    """
    hidden, pre_activations = inputs, []
    for weight in weights[:-1]:
        z = hidden @ weight
        if batch_norm is not None:
            z = BatchNorm(1, weight.shape[1], **batch_norm)(z[None])[0]
        pre_activations.append(z.requires_grad_())
        hidden = activation(z)
    loss = (hidden @ weights[-1] - targets).square().sum()
    gradients = torch.autograd.grad(loss, pre_activations)
    return np.array([gradient.norm().item() for gradient in gradients])


def measure_gradients(
    seeds: Iterable[int],
    *,
    width: int,
    depth: Sequence[int],
    scales: Sequence[float],
    dataset: Mapping[str, Any],
    batch_norm: Mapping[str, Any],
) -> pd.DataFrame:
    """One row per (depth, initialization, scale, arm, seed, layer), layers from 1: `gradient_norm`.

    `initialization`: unscaled (the article's weights) or fan-in (those of `scales`). `scale`: σ_w
    between hidden layers, of the article's weights √width.

    Both arms of a seed have the same weights and the training set of that seed, as one batch. One
    thread, so that results do not depend on the number of cores.
    """
    torch.set_num_threads(1)
    seeds = list(seeds)
    data = make_data(seeds, "article", "plain", **dataset)
    frames = []
    for layers, scale in product(depth, [None, *scales]):
        for seed, x, t in zip(seeds, data.train_inputs, data.train_targets, strict=True):
            weights = initial_weights(seed, width, layers, scale)
            for arm in ARMS:
                norms = gradient_norms(
                    weights,
                    torch.from_numpy(x),
                    torch.from_numpy(t),
                    batch_norm if arm == "batch" else None,
                )
                rows = {
                    "depth": layers,
                    "initialization": "unscaled" if scale is None else "fan-in",
                    "scale": scale or width**0.5,
                    "arm": arm,
                    "seed": seed,
                    "layer": np.arange(1, layers + 1),
                    "gradient_norm": norms,
                }
                frames.append(pd.DataFrame(rows))
    return pd.concat(frames, ignore_index=True)
