"""One network, evaluated three ways: where the floor of training with minibatches comes from.

BN trains with the statistics of each minibatch, and is evaluated with running estimates of them. Of
these losses of the same weights
- population, with the exact statistics, has only noise while training left: what it is above that
  of training with the full batch, every step's statistics and gradient being those of few samples;
- running above population is the running estimate's own noise: it averages the last few
  minibatches (`batch_norm.momentum`), and weights that have moved since;
- batch apart from population is the mismatch of what is minimised and what is evaluated: above it
  by what varying statistics add, below it where the weights have adapted to them.
An arm without such statistics has one loss, three times.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from bnstudy.experiment.layers import BatchNorm, Moments, Network
from bnstudy.experiment.snapshots import Snapshot

COLUMNS = {
    "running_test_loss": "loss per sample on the test points with BN's running estimates, as in "
    "evaluation mode",
    "running_train_loss": "loss per sample on the training points with BN's running estimates",
    "population_test_loss": "loss per sample on the test points with mean and σ of the whole "
    "training set in BN",
    "population_train_loss": "loss per sample on the training points with mean and σ of all of "
    "them in BN",
    "batch_test_loss": "loss per sample on the test points in equal batches of the run's batch "
    "size, or little more, or all at once if they are fewer, with each batch's own mean and σ in "
    "BN; for a full batch, which is the population, that of the population",
    "batch_train_loss": "loss per sample on the training points in such batches of them",
}

Points = tuple[Float64[Tensor, "_ 3"], Float64[Tensor, "_ 3"]]  # inputs and targets


@torch.no_grad()
def compute(snapshot: Snapshot) -> dict[str, float]:
    """The columns of one replicate at one epoch."""
    arrays = (snapshot.inputs, snapshot.targets, snapshot.train_inputs, snapshot.train_targets)
    test_x, test_t, train_x, train_t = map(torch.from_numpy, arrays)
    points = [(test_x, test_t), (train_x, train_t)]
    network, size = copy.deepcopy(snapshot.network), snapshot.settings["batch_size"]
    network.dropout = None
    running = losses(network, points)
    if network.norm is None:
        return dict(zip(COLUMNS, 3 * running, strict=True))
    if isinstance(network.norm, BatchNorm):
        network.norm.momentum = 0.0  # so the running values become those of the next batch
    pre_activations(network.train(), train_x[None])
    population = losses(network.eval(), points)
    batch = population if size == "full" else losses(network.train(), points, size)
    return dict(zip(COLUMNS, running + population + batch, strict=True))


def losses(network: Network, points: Sequence[Points], size: int | None = None) -> list[float]:
    """The loss per sample on each of `points`, in equal batches of at least `size` if there are so
    many points, else in one. The network in the mode that it is in, of one replicate."""
    found = []
    for x, t in points:
        batches = x.tensor_split(max(1, len(x) // (size or len(x))))
        y = np.concatenate([outputs(network, batch[None]) for batch in batches])
        found.append(float(np.square(y - t.numpy()).sum(axis=1).mean()))
    return found


def outputs(
    network: Network, x: Float64[Tensor, "1 point input"]
) -> Float64[np.ndarray, "point output"]:
    """`network(x)`, with tanh by NumPy, in a sixth of the time."""
    V, c = network.output.weight[0].numpy(), network.output.bias[0].numpy()
    return np.tanh(pre_activations(network, x)) @ V + c


def pre_activations(
    network: Network, x: Float64[Tensor, "1 point input"]
) -> Float64[np.ndarray, "point unit"]:
    """Those of `network`, as one affine map where they are one; in training mode a BN's running
    values move on."""
    if not network.has_affine:
        return network.pre_activations(x)[0].numpy()
    affine = network.affine(network.norm and Moments.of(x, network.norm.correction))
    return torch.baddbmm(affine.bias, x, affine.weight)[0].numpy()
