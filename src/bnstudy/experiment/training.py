"""Train replicates side by side, and record both losses every epoch.

The recording is the original's: the train loss of an epoch is that of each step's own forward pass,
before its update; the test loss is taken after the epoch, in evaluation mode. Both are sums over
samples and outputs of squared errors, divided by the number of samples. With minibatches the
train loss so recorded is of networks that change meanwhile; `train_loss_eval` is that of the whole
training set after the epoch, in evaluation mode.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from bnstudy.config import members
from bnstudy.experiment.batches import Batch, Batches, lay_out
from bnstudy.experiment.data import Data
from bnstudy.experiment.evaluators import Evaluate, Objective, make_evaluator
from bnstudy.experiment.layers import Network, split
from bnstudy.experiment.schedules import rate

Rows = Float64[Tensor, "seed parameter"]


class Losses(NamedTuple):
    """An epoch's summed losses, (R,) each; the last one for minibatches only."""

    train: Tensor
    test: Tensor
    train_eval: Tensor | None


@dataclass(frozen=True)
class Curves:
    """Losses per sample; `train_loss_eval` for minibatches only."""

    train_loss: Float64[np.ndarray, "seed epoch"]
    test_loss: Float64[np.ndarray, "seed epoch"]
    train_loss_eval: Float64[np.ndarray, "seed epoch"] | None


class Training:
    """R replicates in training, replicate r of the network on replicate r of the data.

    The replicates share no arithmetic: the gradient of the sum of their losses is each one's own.
    `epochs`: the budget, for schedules that depend on it. `batch_size`: samples of a minibatch, or
    "full". `device`: cpu or cuda; RuntimeError where there is no such device. `objective`: instead
    of the fast ones.
    """

    def __init__(
        self,
        network: Network,
        data: Data,
        *,
        optimizer: str = "adam",
        optimizer_settings: Mapping[str, Any] | None = None,
        learning_rate: float,
        schedule: str = "constant",
        epochs: int = 0,
        batch_size: int | str = "full",
        device: str = "cpu",
        objective: Objective | None = None,
    ):
        check_device(device)
        self.network = network.to(device)
        self.parameters, self.gradients = flatten(network)
        evaluator = make_evaluator(network, self.parameters, self.gradients, objective)
        _, *arrays = data.arrays().values()
        x, t, test_x, test_t = (torch.from_numpy(array).to(device) for array in arrays)
        self.batches = Batches(lay_out(x, t), x.shape[1], batch_size, data.seeds.tolist())
        self.steps = [(len(batch), evaluator.train(batch)) for batch in self.batches.batches]
        self.evaluate_test = evaluator.test(Batch(lay_out(test_x, test_t), 0, test_x.shape[1]))
        self.evaluate_train: Evaluate | None = None
        if self.batches.shuffled:
            self.evaluate_train = evaluator.test(Batch(self.batches.source, 0, x.shape[1]))

        member, settings = members.load("optimizers", optimizer), optimizer_settings or {}
        self.optimizer_state: dict[str, Tensor] = member.init(self.parameters, **settings)
        self.optimizer_step = partial(member.step, **settings)
        budget = epochs * len(self.steps)
        self.rate = partial(rate, schedule, learning_rate, steps=budget)
        self.epochs_done = 0
        self.sizes = x.shape[1], test_x.shape[1], x.shape[1]
        # A graph repeats its first epoch: nothing may be drawn on the host, no rate may change.
        fixed = not self.batches.shuffled and network.dropout is None
        graph = device == "cuda" and fixed and schedule == "constant"
        self.pass_over_data: Callable[[], Losses] = (
            CudaGraph(self._pass_over_data) if graph else self._pass_over_data
        )

    @property
    def steps_done(self) -> int:
        """Optimizer steps so far."""
        return self.epochs_done * len(self.steps)

    def epoch(self) -> Losses:
        """One pass over the training data, one optimizer step for each batch.

        Train losses are those of each step's own forward pass, before its update, summed over the
        steps; the others are taken after the last one.
        """
        losses = self.pass_over_data()
        self.epochs_done += 1
        return losses

    def _pass_over_data(self) -> Losses:
        self.batches.shuffle()
        losses = []
        for step, (samples, evaluate) in enumerate(self.steps, start=self.steps_done):
            losses.append(evaluate())
            options = {"learning_rate": self.rate(step=step), "samples": samples}
            self.optimizer_step(self.parameters, self.gradients, self.optimizer_state, **options)
        evaluated = self.evaluate_train() if self.evaluate_train else None
        return Losses(reduce(torch.add, losses), self.evaluate_test(), evaluated)

    def run(self, epochs: int) -> Curves:
        """Train for so many more epochs."""
        return self.curves([self.epoch() for _ in range(epochs)])

    def curves(self, losses: Sequence[Losses]) -> Curves:
        """The losses of consecutive epochs per sample."""
        columns: list[Any] = []
        for column, samples in zip(zip(*losses, strict=True), self.sizes, strict=True):
            missing = column[0] is None
            columns.append(None if missing else torch.stack(column, 1).cpu().numpy() / samples)
        return Curves(*columns)

    def snapshot(self) -> dict[str, Tensor]:
        """What diagnostics need, one row for each replicate (see bnstudy.experiment.snapshots)."""
        taken = {"parameters": self.parameters, "gradients": self.gradients}
        if "exp_avg_sq" in self.optimizer_state:
            taken["second_moment"] = self.optimizer_state["exp_avg_sq"]
        taken |= dict(self.network.named_buffers())
        return {name: tensor.detach().clone().cpu() for name, tensor in taken.items()}

    def state(self) -> dict[str, Tensor]:
        """All that training needs to go on, one row for each replicate, but for scalars.

        Names: those of the network's state, `optimizer.<name>`, `generator.<what it draws>`.
        """
        generators = {
            f"generator.{name}": torch.stack([generator.get_state() for generator in each])
            for name, each in self._generators().items()
        }
        tensors = self._tensors() | generators
        return {name: tensor.detach().clone().cpu() for name, tensor in tensors.items()}

    def resume(self, state: Mapping[str, Tensor], epochs_done: int) -> None:
        """Go on from `state()`, taken after so many epochs, bit for bit. KeyError where something
        is missing."""
        with torch.no_grad():
            for name, tensor in self._tensors().items():
                tensor.copy_(state[name])
        for name, each in self._generators().items():
            for generator, row in zip(each, state[f"generator.{name}"], strict=True):
                generator.set_state(row.clone())  # PyTorch refuses views
        self.epochs_done = epochs_done

    def _tensors(self) -> dict[str, Tensor]:
        """The tensors of `state` by name, not copied."""
        optimizer = {f"optimizer.{name}": t for name, t in self.optimizer_state.items()}
        return self.network.state_dict() | optimizer

    def _generators(self) -> dict[str, Sequence[Any]]:
        found: dict[str, Sequence[Any]] = {}
        if self.batches.shuffled:
            found["minibatches"] = self.batches.generators
        if self.network.dropout is not None:
            found["dropout"] = self.network.dropout.generators
        return found


def check_device(device: str) -> None:
    """RuntimeError with the remedy where PyTorch cannot use `device`."""
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(
            "training.device is cuda, but PyTorch sees no GPU here (torch "
            f"{torch.__version__}); set training.device to cpu, or install a CUDA build of torch"
        )


def flatten(network: Network) -> tuple[Rows, Rows]:
    """Lay each replicate's parameters side by side in one row; return rows, and rows for gradients.

    Each parameter stays one of its own, now a view. So an optimizer makes one pass instead of one
    for each parameter: at these sizes its cost is that of its calls.
    """
    rows = torch.cat([p.detach().flatten(1) for p in network.parameters()], dim=1)
    for name, value in split(rows, network).items():
        network.get_parameter(name).data = value
    return rows, torch.zeros_like(rows)


class CudaGraph:
    """A function of no arguments, recorded once and replayed: one launch instead of some hundred.

    The first calls run as they are, on a stream of their own, as recording requires (PyTorch's
    notes, "CUDA semantics", CUDA graphs).
    """

    def __init__(self, function: Callable[[], Losses], warm_up: int = 3):
        self.function, self.warm_up = function, warm_up
        self.graph: torch.cuda.CUDAGraph | None = None
        self.result: Losses

    def __call__(self) -> Losses:
        if self.warm_up:
            self.warm_up -= 1
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                result = self.function()
            torch.cuda.current_stream().wait_stream(stream)
            return result
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.result = self.function()
        self.graph.replay()
        train, test, train_eval = self.result
        return Losses(train.clone(), test.clone(), train_eval)
