"""Two small networks on digits, with and without BN: what claim C5 is decided by.

Plain PyTorch, as anyone would write it: `nn.BatchNorm1d` and `2d` with their defaults before each
tanh, cross-entropy, Adam on minibatches; but in float64. In float32 another processor's rounding
grew within three epochs until one run of 120 took an epoch less; in float64 losses differ by 2e-6.
There are two sources of images. `digits`: the 1797 of 8 × 8 pixels that come with scikit-learn (E.
Alpaydin and C. Kaynak, UCI Optical Recognition of Handwritten Digits, 1998; its test part); they
decide. `mnist1d`: the 5000 lines of 40 pixels of MNIST-1D (Greydanus and Kobak 2024), its training
and test part together.

Both arms of a seed have the same split, initial weights and order of minibatches: BN draws nothing.
Each arm of each network has the learning rate that other seeds choose for it.
"""

import math
from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from bnstudy.experiment.choice import ranked

NETWORKS = ("dense", "convolutional")
ARMS = ("none", "batch")
CLASSES = 10
SHAPES = {"digits": (8, 8), "mnist1d": (40,)}  # of an image
CONVOLUTIONS: dict[int, Any] = {1: (nn.Conv1d, nn.BatchNorm1d), 2: (nn.Conv2d, nn.BatchNorm2d)}


class Split(NamedTuple):
    """Images (n, 1, *shape), float64, and labels (n,) of the two parts."""

    train_images: Tensor
    train_labels: Tensor
    validation_images: Tensor
    validation_labels: Tensor


@cache  # every run asks for them
def load(source: str) -> tuple[Float64[np.ndarray, "image pixel"], Int64[np.ndarray, " image"]]:
    """All images of a source and their labels, 0 to 9.

    MNIST-1D is not downloaded: its package generates it, from NumPy's global generator, which it
    seeds.
    """
    if source == "digits":
        return load_digits(return_X_y=True)
    from mnist1d.data import make_dataset  # brings Matplotlib

    parts = make_dataset()
    images, labels = (np.concatenate([parts[name], parts[f"{name}_test"]]) for name in "xy")
    return images, labels


def make_split(source: str, seed: int, validation_share: float) -> Split:
    """A random split by `seed`, each class in proportion.

    Grey values are shifted and scaled by the training part's mean and spread, over all pixels.
    """
    images, labels = load(source)
    train, validation, *labels = train_test_split(
        images, labels, test_size=validation_share, stratify=labels, random_state=seed
    )
    mean, spread = train.mean(), train.std()
    parts = [torch.from_numpy((part - mean) / spread) for part in (train, validation)]
    first, second = (part.reshape(-1, 1, *SHAPES[source]) for part in parts)
    return Split(first, torch.from_numpy(labels[0]), second, torch.from_numpy(labels[1]))


def make_network(
    network: str,
    arm: str,
    generator: torch.Generator,
    *,
    shape: Sequence[int],
    widths: Sequence[int],
    channels: Sequence[int],
) -> nn.Sequential:
    """An untrained network, images (n, 1, *shape) to logits (n, 10); weights from `generator`.

    `dense`: layers of `widths` units. `convolutional`: kernels of 3 (or 3 × 3) at stride 2, so that
    each of `channels` halves the sides, and a linear layer on what is left. KeyError for another
    name.
    """
    hidden = {
        "dense": _dense(math.prod(shape), widths, arm),
        "convolutional": _convolutional(shape, channels, arm),
    }[network]
    *_, (_, features) = hidden
    layers = [layer for block, _ in hidden for layer in block]
    built = nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, CLASSES))
    _draw_weights(built, generator)
    return built.double()


def _dense(inputs: int, widths: Sequence[int], arm: str) -> list[tuple[list[nn.Module], int]]:
    """(layers, features that come out) of each hidden block."""
    blocks: list[tuple[list[nn.Module], int]] = [([nn.Flatten()], inputs)]
    for width in widths:
        norm = [nn.BatchNorm1d(width)] if arm == "batch" else []
        blocks.append(([nn.Linear(inputs, width), *norm, nn.Tanh()], width))
        inputs = width
    return blocks


def _convolutional(
    shape: Sequence[int], channels: Sequence[int], arm: str
) -> list[tuple[list[nn.Module], int]]:
    """(layers, features that come out) of each hidden block."""
    convolve, normalise = CONVOLUTIONS[len(shape)]
    blocks, inputs = [], 1
    for outputs in channels:
        norm = [normalise(outputs)] if arm == "batch" else []
        convolution = convolve(inputs, outputs, kernel_size=3, stride=2, padding=1)
        shape = [(side + 1) // 2 for side in shape]
        blocks.append(([convolution, *norm, nn.Tanh()], outputs * math.prod(shape)))
        inputs = outputs
    return blocks


@torch.no_grad()
def _draw_weights(network: nn.Sequential, generator: torch.Generator) -> None:
    """PyTorch's default, U(±1/√fan_in) for weights and biases, drawn anew from our generator."""
    for layer in network:
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            bound = layer.weight[0].numel() ** -0.5
            for parameter in layer.parameters():  # the weight, then the bias
                parameter.uniform_(-bound, bound, generator=generator)


def train(
    network: nn.Sequential,
    split: Split,
    generator: torch.Generator,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
) -> pd.DataFrame:
    """Train `network` in place; one row before and one after each epoch, by the number of those
    done: train_loss (NaN before), validation_loss and _accuracy.

    `generator` shuffles. What is left of an epoch after the last whole minibatch is left out: BN's
    statistics of a handful of images would be noise. The train loss is the mean over the epoch's
    steps, the validation values are taken after it, in evaluation mode; cross-entropies per image.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    count = len(split.train_labels) // batch_size
    curves = [{"train_loss": math.nan, **_validate(network, split)}]
    for _ in range(epochs):
        network.train()
        order = torch.randperm(len(split.train_labels), generator=generator)
        losses = []
        for batch in order[: count * batch_size].split(batch_size):
            optimizer.zero_grad()
            logits = network(split.train_images[batch])
            loss = functional.cross_entropy(logits, split.train_labels[batch])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        curves.append({"train_loss": float(np.mean(losses)), **_validate(network, split)})
    return pd.DataFrame(curves)


@torch.no_grad()
def _validate(network: nn.Sequential, split: Split) -> dict[str, float]:
    network.eval()
    logits = network(split.validation_images)
    right = logits.argmax(dim=1) == split.validation_labels
    return {
        "validation_loss": functional.cross_entropy(logits, split.validation_labels).item(),
        "validation_accuracy": right.double().mean().item(),
    }


def train_networks(
    source: str,
    seeds: Sequence[int],
    tuning_seeds: Sequence[int],
    *,
    learning_rates: Sequence[float],
    **settings: Any,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Choose a rate for each arm of each network (see `choose`), and train it at that on `seeds`:
    (one row per run, one row per epoch of a run, one row per rate tried).

    One thread, so that results do not depend on the number of cores.
    """
    torch.set_num_threads(1)
    tables = []
    for cell in product(NETWORKS, ARMS):
        tried = [
            train_cell(source, *cell, tuning_seeds, learning_rate=rate, **settings)[0]
            for rate in learning_rates
        ]
        choice = choose(pd.concat(tried))
        rate = float(choice.learning_rate.iloc[0])
        tables.append((*train_cell(source, *cell, seeds, learning_rate=rate, **settings), choice))
    return tuple(pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True))


def train_cell(
    source: str,
    name: str,
    arm: str,
    seeds: Sequence[int],
    *,
    widths: Sequence[int],
    channels: Sequence[int],
    validation_share: float,
    threshold: float,
    **training: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train one arm of a network: (one row per run, one row per epoch of a run).

    Runs: epochs_to_threshold and reached (see `epochs_to`), and the last epoch's values. A run that
    diverges never reaches it, and its losses are recorded as they are.
    """
    runs, curves = [], []
    sizes = {"shape": SHAPES[source], "widths": widths, "channels": channels}
    for seed in seeds:
        split = make_split(source, seed, validation_share)
        generator = torch.Generator().manual_seed(seed)
        network = make_network(name, arm, generator, **sizes)
        curve = train(network, split, generator, **training)
        epochs, reached = epochs_to(curve.validation_loss.to_numpy(), threshold)
        last = curve.iloc[-1]
        run = {"network": name, "arm": arm, "seed": seed}
        measured = {
            "learning_rate": training["learning_rate"],
            "threshold": threshold,
            "epochs_to_threshold": epochs,
            "reached": reached,
            "final_validation_accuracy": last.validation_accuracy,
            "final_validation_loss": last.validation_loss,
        }
        runs.append(run | measured)
        curves.append(pd.DataFrame({**run, "epoch": curve.index, **curve}))
    return pd.DataFrame(runs), pd.concat(curves, ignore_index=True)


def epochs_to(losses: Float64[np.ndarray, " point"], threshold: float) -> tuple[float, bool]:
    """Epochs until the loss first is at or below `threshold`, and whether it ever was; `losses`
    before training and after each epoch.

    The logarithm of the loss is taken to be linear between the ends of epochs. Later spikes are
    ignored; the budget, if there is no such epoch.
    """
    below = np.flatnonzero(losses <= threshold)
    if not len(below):
        return len(losses) - 1.0, False
    around = [max(below[0] - 1, 0), below[0]]
    return float(np.interp(-np.log(threshold), -np.log(losses[around]), around)), True


def choose(tried: pd.DataFrame) -> pd.DataFrame:
    """One row per learning rate of `tried`, the tuning seeds' runs of one arm of a network, the
    best first.

    Columns: network, arm; those of `ranked` by the epochs to the threshold; at_edge, whether the
    rate is the smallest or largest tried.
    """
    diverged = ~np.isfinite(tried.final_validation_loss)
    outcome = np.log(tried.epochs_to_threshold).where(~diverged, np.inf)
    outcomes = tried.assign(outcome=outcome).pivot(
        index="seed", columns="learning_rate", values="outcome"
    )
    table = ranked(outcomes)
    rates = table.learning_rate
    table["at_edge"] = (rates == rates.min()) | (rates == rates.max())
    for index, name in enumerate(("network", "arm")):
        table.insert(index, name, tried[name].iloc[0])
    return table.sort_values("rank")
