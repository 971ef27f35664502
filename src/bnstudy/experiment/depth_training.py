"""Which deep tanh networks train, with and without BN, by the size of their weights.

The stacks of `bnstudy.experiment.depth` with biases, 0 to start with, on the article's task: Adam
on all of a few points. A network trains if its train loss gets to a threshold within a budget.
Without BN, signals and gradients pass through many layers only where σ_w is near its critical value
(Schoenholz et al. 2017, who find that networks then train, however deep they are).

Well above it and without BN, rounding decides in which epoch a network gets there, and for some
whether: another processor gives other runs, and about the same shares.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from bnstudy.experiment.data import Data, make_data
from bnstudy.experiment.depth import ARMS, initial_weights
from bnstudy.experiment.evaluators import plain_objective
from bnstudy.experiment.layers import BatchNorm, Linear, Network
from bnstudy.experiment.training import Training


def make_stack(weights: Sequence[Tensor], batch_norm: Mapping[str, Any] | None) -> Network:
    """Replicates of hidden layers, tanh(x W + b) or tanh(BN(x W + b)), and an output layer.

    `weights`: of each layer, (seed, input, unit). `batch_norm`: momentum, epsilon and correction;
    None: no BN.
    """
    *hidden, output = (Linear(w, w.new_zeros(len(w), 1, w.shape[2])) for w in weights)
    layers: list[nn.Module] = []
    for linear in hidden:
        sizes = linear.bias.shape[::2]
        norm = [] if batch_norm is None else [BatchNorm(*sizes, **batch_norm)]
        layers += [linear, *norm, nn.Tanh()]
    return Network(nn.Sequential(*layers[:-1]), output)  # which has the last tanh


def train_stacks(
    seeds: Sequence[int],
    *,
    width: int,
    depth: int,
    scales: Sequence[float],
    learning_rates: Sequence[float],
    points: int,
    epochs: int,
    threshold: float,
    ranges: Mapping[str, Sequence[float]],
    batch_norm: Mapping[str, Any],
) -> pd.DataFrame:
    """One row per (scale, norm, learning_rate, seed): epochs, to the train loss `threshold` (per
    sample) or the budget; reached, whether it got there; final_loss, that of the last of these
    epochs; diverged, whether that is finite no more.

    `norm`: none or batch. Both of a seed have the same data and weights. One thread, so that
    results do not depend on the number of cores. Seeds are trained side by side: with an even
    `width` and a multiple of 4 `points` no bit depends on which; else vectors of doubles are cut
    otherwise.
    """
    torch.set_num_threads(1)
    # `Training` tests as well; nobody looks at it.
    data = make_data(seeds, "article", "plain", train_size=points, test_size=1, ranges=ranges)
    tables = []
    for scale, norm, rate in product(scales, ARMS, learning_rates):
        drawn = zip(*(initial_weights(seed, width, depth, scale) for seed in seeds), strict=True)
        network = make_stack(
            [torch.stack(w) for w in drawn], batch_norm if norm == "batch" else None
        )
        losses = train(network, data, learning_rate=rate, epochs=epochs, threshold=threshold)
        cell = {"scale": scale, "norm": norm, "learning_rate": rate, "seed": seeds}
        tables.append(pd.DataFrame({**cell, **measured(losses, threshold, epochs)}))
    return pd.concat(tables, ignore_index=True)


def train(
    network: Network, data: Data, *, learning_rate: float, epochs: int, threshold: float
) -> Float64[np.ndarray, "seed epoch"]:
    """Train losses per sample, of at most so many epochs: until every replicate got to the
    threshold. `network` is trained in place."""
    training = Training(network, data, learning_rate=learning_rate, objective=plain_objective)
    losses = [training.epoch()]
    lowest = losses[0].train
    while len(losses) < epochs and not (lowest / len(data.train_inputs[0]) <= threshold).all():
        losses.append(training.epoch())
        lowest = lowest.fmin(losses[-1].train)
    return training.curves(losses).train_loss


def measured(
    losses: Float64[np.ndarray, "seed epoch"], threshold: float, budget: int
) -> dict[str, np.ndarray]:
    """The columns of `train_stacks`, of each replicate's own epochs: what it did after it got to
    the threshold depends on the others and does not count."""
    below = losses <= threshold
    reached = below.any(axis=1)
    epochs = np.where(reached, below.argmax(axis=1) + 1, budget)
    final = losses[np.arange(len(losses)), epochs - 1]
    return {
        "final_loss": final,
        "epochs": epochs,
        "reached": reached,
        "diverged": ~np.isfinite(final),
    }
