"""Train a block of replicates: full-batch Adam, both losses recorded every epoch.

The recording is the original's: the train loss of an epoch is that of the step's own forward pass,
before the update; the test loss is taken after the update, in evaluation mode. Both are sums over
samples and outputs of squared errors, divided by the number of samples.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from bnstudy import fused
from bnstudy.data import Data
from bnstudy.networks import Network

log = logging.getLogger(__name__)

# (network) -> losses (R,): the summed squared error of every replicate on a fixed batch.
Objective = Callable[[Network], Tensor]
# (network, inputs, targets) -> the objective on that batch
MakeObjective = Callable[[Network, Tensor, Tensor], Objective]
# () -> losses (R,) on a fixed batch; one for training leaves their gradients with the parameters
Evaluate = Callable[[], Tensor]
# (inputs, targets) -> that of the batch
MakeEvaluate = Callable[[Tensor, Tensor], Evaluate]


@dataclass(frozen=True)
class Curves:
    """Losses per sample, (R, epochs) each, and the seconds that the training took."""

    train_loss: np.ndarray
    test_loss: np.ndarray
    seconds: float


def plain_objective(network: Network, inputs: Tensor, targets: Tensor) -> Objective:
    """The definition: run the network on inputs (R, n, 3) and sum the squared errors."""

    def objective(network: Network) -> Tensor:
        return (network(inputs) - targets).square().sum(dim=(1, 2))

    return objective


def folded_objective(network: Network, inputs: Tensor, targets: Tensor) -> Objective:
    """The same number with all before the activation folded; for GPUs."""
    moments = network.moments(inputs)

    def objective(network: Network) -> Tensor:
        hidden, output = network.fold(moments), network.output
        h = torch.tanh(torch.baddbmm(hidden.bias, inputs, hidden.weight))
        return (output(h) - targets).square().sum(dim=(1, 2))

    return objective


def fused_objective(network: Network, inputs: Tensor, targets: Tensor) -> Objective:
    """The same number by the fused pass, for CPUs and variants that fold by themselves."""
    batch = fused.Batch(inputs, targets, network.width)
    moments = network.moments(inputs)

    def objective(network: Network) -> Tensor:
        return fused.squared_error(batch, network.fold(moments), network.output)

    return objective


def dropout_objective(network: Network, inputs: Tensor, targets: Tensor) -> Objective:
    """The definition again, one replicate at a time, for training with dropout: in batched products
    and sums the last bit may depend on the number of replicates."""
    moments = network.moments(inputs)

    def objective(network: Network) -> Tensor:
        hidden, output = network.fold(moments), network.output
        masks = network.dropout.masks(inputs[0, :, :1].expand(-1, network.width))
        parts = (inputs, targets, *hidden, output.weight, output.bias, masks)
        losses = [
            (torch.addmm(c, torch.tanh(torch.addmm(a, x, A)) * mask, V) - t).square().sum()
            for x, t, A, a, V, c, mask in zip(*parts, strict=True)
        ]
        return torch.stack(losses)

    return objective


class ByAutograd:
    """Evaluates by PyTorch: an objective for training, and one for tests.

    `flat`: the network's trained parameters in one (see `flatten`).
    """

    def __init__(
        self, network: Network, flat: nn.Parameter, train: MakeObjective, test: MakeObjective
    ):
        self.network, self.flat, self.make_train, self.make_test = network, flat, train, test
        self.one = flat.new_ones(len(network.output.weight))

    def train(self, inputs: Tensor, targets: Tensor) -> Evaluate:
        """In training mode, with gradients."""
        objective = self.make_train(self.network, inputs, targets)

        def evaluate() -> Tensor:
            self.network.train()
            losses = objective(self.network)
            self.flat.grad.zero_()
            losses.backward(self.one)
            return losses.detach()

        return evaluate

    def test(self, inputs: Tensor, targets: Tensor) -> Evaluate:
        """In evaluation mode, without gradients."""
        objective = self.make_test(self.network, inputs, targets)

        @torch.no_grad()
        def evaluate() -> Tensor:
            self.network.eval()
            return objective(self.network)

        return evaluate


class ByKernels:
    """Evaluates by the fast path alone, without autograd: the same numbers, less around them."""

    def __init__(self, network: Network):
        self.network, self.fast = network, fused.FastNetwork(network)

    def train(self, inputs: Tensor, targets: Tensor) -> Evaluate:
        """In training mode, with gradients."""
        batch = fused.Batch(inputs, targets, self.network.width)
        return partial(self.fast.train, batch, self.network.moments(inputs))

    def test(self, inputs: Tensor, targets: Tensor) -> Evaluate:
        """In evaluation mode, without gradients."""
        return partial(self.fast.test, fused.Batch(inputs, targets, self.network.width))


def evaluation(network: Network, flat: nn.Parameter, device: str) -> ByAutograd | ByKernels:
    """The fastest way to train and test `network` on `device`."""
    if device == "cuda":
        train = test = folded_objective
    elif fused.supports(network) and network.dropout is None:
        return ByKernels(network)
    else:
        train = test = fused_objective
    if network.dropout is not None:
        train = dropout_objective
    return ByAutograd(network, flat, train, test)


class Training:
    """R replicates in training, replicate r of the network on replicate r of the data.

    The replicates share no arithmetic: the gradient of the sum of their losses is each one's own
    gradient. `device`: cpu or cuda; RuntimeError where there is no such device. `batch_size`:
    samples a minibatch; None for the full batch. `objective`: instead of the fast ones.
    """

    def __init__(
        self,
        network: Network,
        data: Data,
        *,
        learning_rate: float,
        device: str = "cpu",
        batch_size: int | None = None,
        objective: MakeObjective | None = None,
    ):
        check_device(device)
        self.network = network.to(device)
        self.parameters = flatten(network)
        self.optimizer = (fused.Adam if device == "cpu" else TorchAdam)(
            self.parameters, learning_rate
        )
        tensors = {name: torch.from_numpy(a).to(device) for name, a in data.arrays().items()}
        train = tensors["train_inputs"], tensors["train_targets"]
        if objective is None:
            make = evaluation(network, self.parameters, device)
        else:
            make = ByAutograd(network, self.parameters, objective, objective)
        if batch_size is None:
            self.batches = partial(iter, [make.train(*train)])
        else:
            self.batches = Minibatches(*train, data.seeds, batch_size, make.train)
        self.test_losses = make.test(tensors["test_inputs"], tensors["test_targets"])
        self.sizes = np.array([data.train_inputs.shape[1], data.test_inputs.shape[1]])
        self.zero = torch.zeros(len(data.seeds), dtype=torch.float64, device=device)
        drawing = batch_size is not None or network.dropout is not None  # on the host, each step
        self.step = CudaGraph(self.epoch) if device == "cuda" and not drawing else self.epoch

    def epoch(self) -> tuple[Tensor, Tensor]:
        """One pass over the training data, an Adam step a batch.

        Returns the summed losses (R,): train losses of each step's own forward pass, before its
        update, and test losses after the last one.
        """
        total = self.zero
        for losses in self.batches():
            total = total + losses()
            self.optimizer.step()
        return total, self.test_losses()

    def run(self, epochs: int, progress: "Progress | None" = None) -> Curves:
        """Train for so many more epochs."""
        start = time.perf_counter()
        losses = self.zero.new_empty((2, epochs, len(self.zero)))
        for epoch in range(epochs):
            losses[0, epoch], losses[1, epoch] = self.step()  # on a GPU nothing waits here
            if progress:
                progress.report()
        train_loss, test_loss = losses.cpu().numpy().transpose(0, 2, 1) / self.sizes[:, None, None]
        return Curves(train_loss, test_loss, time.perf_counter() - start)

    def gradients(self) -> dict[str, Tensor]:
        """Gradients of the last step's losses by parameter: (R, ...) each."""
        return split(self.parameters.grad, self.network)

    def state(self) -> dict[str, Tensor]:
        """All that training needs to go on: the network's state, Adam's moments and step.

        Names: those of the network's state, `adam.<parameter>.<exp_avg | exp_avg_sq>`, `adam.step`.
        """
        return {name: tensor.detach().clone().cpu() for name, tensor in self._tensors().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state()`, bit for bit. KeyError where something is missing."""
        with torch.no_grad():
            for name, tensor in self._tensors().items():
                tensor.copy_(state[name])

    def _tensors(self) -> dict[str, Tensor]:
        """The tensors of `state` by name, not copied."""
        tensors = dict(self.network.state_dict())
        adam = self.optimizer.state
        tensors["adam.step"] = adam["step"]
        for moment in ("exp_avg", "exp_avg_sq"):
            for name, part in split(adam[moment], self.network).items():
                tensors[f"adam.{name}.{moment}"] = part
        return tensors


class Minibatches:
    """Each call: an epoch's evaluations, on batches of a fresh order of the training data.

    A generator a replicate, seeded by its own seed, so that no order depends on which replicates
    are trained together. A last batch that is smaller is used as well.
    """

    def __init__(
        self, inputs: Tensor, targets: Tensor, seeds: Sequence[int], size: int, make: MakeEvaluate
    ):
        self.inputs, self.targets, self.size, self.make = inputs, targets, size, make
        self.generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    def __call__(self) -> Iterator[Evaluate]:
        n = self.inputs.shape[1]
        order = torch.stack([torch.randperm(n, generator=g) for g in self.generators])
        index = order[:, :, None].expand_as(self.inputs).to(self.inputs.device)
        inputs, targets = self.inputs.gather(1, index), self.targets.gather(1, index)
        for x, t in zip(inputs.split(self.size, 1), targets.split(self.size, 1), strict=True):
            yield self.make(x, t)


def check_device(device: str) -> None:
    """RuntimeError with the remedy where PyTorch cannot use `device`."""
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(
            "training.device is cuda, but PyTorch sees no GPU here (torch "
            f"{torch.__version__}); set training.device to cpu, or install a CUDA build of torch"
        )


def split(flat: Tensor, network: nn.Module) -> dict[str, Tensor]:
    """Views of `flat` (total,) in the shapes and the order of the network's trained parameters."""
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    parts = flat.split([p.numel() for p in parameters.values()])
    return {n: part.view_as(p) for (n, p), part in zip(parameters.items(), parts, strict=True)}


def flatten(network: nn.Module) -> nn.Parameter:
    """Lay the trained parameters side by side in one, gradients too, and return that one.

    Each stays a parameter of its own, now a view. An optimiser that is given the one makes one pass
    instead of one a parameter: at these sizes Adam's cost is that of its calls.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    flat = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    flat.grad = torch.zeros_like(flat)
    values, gradients = split(flat.detach(), network), split(flat.grad, network)
    for parameter, name in zip(parameters, values, strict=True):
        parameter.data, parameter.grad = values[name], gradients[name]
    return flat


class TorchAdam:
    """PyTorch's own Adam for one flat parameter on a GPU; `state` as `fused.Adam` has it."""

    def __init__(self, parameter: nn.Parameter, learning_rate: float):
        optimizer = torch.optim.Adam([parameter], lr=learning_rate, capturable=True)
        self.step = optimizer.step
        self.state = optimizer.state[parameter] = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }


class CudaGraph:
    """`epoch`, recorded once and replayed: one launch instead of some hundred a call.

    The first calls run as they are, on a stream of their own, as recording requires (PyTorch's
    notes, "CUDA semantics", CUDA graphs). What a call returns, the next one overwrites.
    """

    def __init__(self, epoch: Callable[[], tuple[Tensor, Tensor]], warm_up: int = 3):
        self.epoch, self.warm_up = epoch, warm_up
        self.graph, self.result = None, None

    def __call__(self) -> tuple[Tensor, Tensor]:
        if self.warm_up:
            self.warm_up -= 1
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                result = self.epoch()
            torch.cuda.current_stream().wait_stream(stream)
            return result
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.result = self.epoch()
        self.graph.replay()
        return self.result


class Progress:
    """Says in the log, every few seconds, how far a block is and how long it still takes."""

    def __init__(self, epochs: int, models: int, every: float = 5.0):
        self.epochs, self.models, self.every = epochs, models, every
        self.done = 0
        self.start = self.last = time.perf_counter()

    def report(self) -> None:
        """Call after every epoch."""
        self.done += 1
        now = time.perf_counter()
        if now - self.last < self.every and self.done < self.epochs:
            return
        self.last = now
        cost = (now - self.start) / self.done
        log.info(
            "epoch %d of %d, %.3f ms a model-epoch, %.0f s left",
            self.done, self.epochs, 1000 * cost / self.models, cost * (self.epochs - self.done),
        )  # fmt: skip
