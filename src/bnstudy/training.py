"""Train a block of replicates: full-batch Adam, both losses recorded every epoch.

The recording is the original's: the train loss of an epoch is that of the step's own forward pass,
before the update; the test loss is taken after the update, in evaluation mode. Both are sums over
samples and outputs of squared errors, divided by the number of samples.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bnstudy import fused
from bnstudy.data import Data
from bnstudy.networks import Moments, Network

log = logging.getLogger(__name__)

# (network) -> losses (R,): the summed squared error of every replicate on a fixed batch.
Objective = Callable[[Network], Tensor]


@dataclass(frozen=True)
class Curves:
    """Losses per sample, (R, epochs) each, and the seconds that the training took."""

    train_loss: np.ndarray
    test_loss: np.ndarray
    seconds: float


def plain_objective(inputs: Tensor, targets: Tensor) -> Objective:
    """The definition: run the network on inputs (R, n, 3) and sum the squared errors."""

    def objective(network: Network) -> Tensor:
        return (network(inputs) - targets).square().sum(dim=(1, 2))

    return objective


def fused_objective(inputs: Tensor, targets: Tensor, width: int, correction: int) -> Objective:
    """The same number by the fast path: fold all before the activation, then one fused pass."""
    batch = fused.Batch(inputs, targets, width)
    moments = Moments.of(inputs, correction)

    def objective(network: Network) -> Tensor:
        return batch.squared_error(network.fold(moments), network.output)

    return objective


def make_objective(network: Network, inputs: np.ndarray, targets: np.ndarray) -> Objective:
    """The objective that training uses."""
    correction = 0 if network.norm is None else network.norm.correction
    width = network.hidden.weight.shape[-1]
    return fused_objective(torch.from_numpy(inputs), torch.from_numpy(targets), width, correction)


def train(
    network: Network,
    data: Data,
    *,
    epochs: int,
    learning_rate: float,
    objective: Callable[[Network, np.ndarray, np.ndarray], Objective] = make_objective,
) -> tuple[Curves, torch.optim.Adam]:
    """Train `network`'s R replicates in place, replicate r on `data`'s replicate r.

    Returns the curves and the optimiser, whose moments are needed to go on later. The replicates
    share no arithmetic: the gradient of the sum of their losses is each one's own gradient.
    """
    train_loss_of = objective(network, data.train_inputs, data.train_targets)
    test_loss_of = objective(network, data.test_inputs, data.test_targets)
    # Neither foreach nor fused: those make an element's rounding depend on its place in memory,
    # and with it the results on how seeds are cut into blocks.
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, foreach=False, fused=False)
    train_loss, test_loss = np.empty((2, len(data.seeds), epochs))
    progress = Progress(epochs, models=len(data.seeds))
    for epoch in range(epochs):
        network.train()
        losses = train_loss_of(network)
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
        train_loss[:, epoch] = losses.detach()
        network.eval()
        with torch.no_grad():
            test_loss[:, epoch] = test_loss_of(network)
        progress.report(epoch + 1)
    train_loss /= data.train_inputs.shape[1]
    test_loss /= data.test_inputs.shape[1]
    return Curves(train_loss, test_loss, progress.seconds), optimizer


def checkpoint(network: nn.Module, optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """All that training needs to go on: parameters, running values, Adam's moments and step.

    Names: those of the network's state, and `adam.<parameter>.<exp_avg | exp_avg_sq | step>`.
    """
    tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"adam.{name}.{key}"] = value.detach().clone()
    return tensors


class Progress:
    """Says in the log, every few seconds, how far a block is and how long it still takes."""

    def __init__(self, epochs: int, models: int, every: float = 5.0):
        self.epochs, self.models, self.every = epochs, models, every
        self.start = self.last = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start

    def report(self, done: int) -> None:
        """Call after every epoch."""
        now = time.perf_counter()
        if now - self.last < self.every and done < self.epochs:
            return
        self.last = now
        cost = (now - self.start) / done
        log.info(
            "epoch %d of %d, %.3f ms a model-epoch, %.0f s left",
            done, self.epochs, 1000 * cost / self.models, cost * (self.epochs - done),
        )  # fmt: skip
