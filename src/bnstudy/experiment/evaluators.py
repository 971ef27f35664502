"""Ways to train and test networks on a batch: by the compiled kernels, by PyTorch, or by both.

A replicate's arithmetic does not depend on how many replicates there are, nor on its place among
them: results are bit-identical however the seeds are cut into jobs.
"""

import copy
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from bnstudy import kernels
from bnstudy.experiment.batches import Batch
from bnstudy.experiment.layers import BatchNorm, Dropout, Linear, Moments, Network, split

Rows = Float64[Tensor, "seed parameter"]
# () -> losses (R,) on a batch; one for training leaves their gradients with the parameters
Evaluate = Callable[[], Tensor]
WIDEST_ON_GPU = 1000  # what shared memory holds
Objective = Callable[[Network, Batch], Evaluate]


def plain_objective(network: Network, batch: Batch) -> Evaluate:
    """The definition: run the network and sum the squared errors."""
    return lambda: (network(batch.inputs) - batch.targets).square().sum(dim=(1, 2))


class _SquaredError(torch.autograd.Function):
    """The pass for autograd. `before`: rows of A and a, or pre-activations."""

    @staticmethod
    def forward(
        ctx: Any, before: Tensor, output: Tensor, batch: Batch, drops: Any, scratch: Any
    ) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        tensors = (before, output, *map(torch.empty_like, (before, output)))
        first, last, gfirst, glast = (tensor.detach().numpy() for tensor in tensors)
        where = batch.samples.numpy(), batch.start, batch.stop
        others = last, *drops, scratch, wanted
        losses = (
            kernels.squared_error(*where, None, first, *others, None, gfirst, glast)
            if before.ndim == 3
            else kernels.squared_error(*where, first, None, *others, gfirst, None, glast)
        )
        if wanted:
            ctx.save_for_backward(*tensors[2:])
        return torch.from_numpy(losses)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        before, output = ctx.saved_tensors
        if not bool((upstream == 1).all()):  # as it is for a sum of losses
            before = upstream.view(-1, *(1,) * (before.ndim - 1)) * before
            output = upstream[:, None] * output
        return before, output, None, None, None


def fused_objective(network: Network, batch: Batch) -> Evaluate:
    """The summed squared errors on a batch by the pass, all before the activation by PyTorch: as an
    affine map, if the network's layers say one, else sample by sample."""
    scratch, dropout = kernels.scratch(network.width), network.dropout

    def objective() -> Tensor:
        if network.has_affine:
            known = None
            if network.norm is not None:
                mean, covariance = map(torch.from_numpy, batch.moments(network.norm.correction))
                known = Moments(mean[:, None], covariance)
            affine = network.affine(known)
            before = torch.cat([part.flatten(1) for part in affine], dim=1)
        else:
            before = network.pre_activations(batch.inputs).contiguous()
        output = torch.cat([p.flatten(1) for p in network.output.parameters()], dim=1)
        drops = _drops(dropout if network.training else None, len(batch), network.width)
        return _SquaredError.apply(before, output, batch, drops, scratch)

    return objective


class KernelEvaluator:
    """Losses and gradients by the compiled passes alone, without autograd.

    `parameters` and `gradients` are the rows (R, P) on which the network's layers are views (see
    `training.flatten`).
    """

    def __init__(
        self,
        network: Network,
        parameters: Float64[Tensor, "seed parameter"],
        gradients: Float64[Tensor, "seed parameter"],
    ):
        self.network, self.scratch = network, kernels.scratch(network.width)
        self.theta, self.gtheta = parameters.numpy(), gradients.numpy()

    @staticmethod
    def supports(network: Network) -> bool:
        """Whether the network's layers are those that are compiled here, and not variants."""
        norm = type(network.norm)
        known = norm is type(None) or getattr(norm, "affine", None) is BatchNorm.affine
        return type(network.hidden) is Linear and known

    def train(self, batch: Batch) -> Evaluate:
        """In training mode; leaves gradients. The bias before BN cancels: its gradient is 0."""
        return self._evaluate(batch, training=True)

    def test(self, batch: Batch) -> Evaluate:
        """In evaluation mode, without gradients."""
        return self._evaluate(batch, training=False)

    def _evaluate(self, batch: Batch, training: bool) -> Evaluate:
        network, norm = self.network, self.network.norm
        where = batch.samples.numpy(), batch.start, batch.stop
        dropout = network.dropout if training else None
        theta, gtheta, work = self.theta, self.gtheta, (self.scratch, training)
        # Looked up once: at ten units what PyTorch's modules take for that can be measured.
        sizes = len(batch), network.width

        def plain() -> Tensor:
            drops = _drops(dropout, *sizes)
            rows = theta, None, theta, *drops, *work, gtheta, None, gtheta
            return torch.from_numpy(kernels.squared_error(*where, *rows))

        if norm is None:
            return plain
        settings = norm.momentum, norm.epsilon, norm.centre, norm.divide
        correction = norm.correction
        running = _row(norm.running_mean), _row(norm.running_std)

        def normalised() -> Tensor:
            drops = _drops(dropout, *sizes)
            rows = batch.moments(correction), theta, settings, running, *drops, *work, gtheta
            return torch.from_numpy(kernels.squared_error_after_bn(*where, *rows))

        return normalised


class CudaEvaluator(KernelEvaluator):
    """The same on a GPU, but for dropout, on PyTorch's stream: a CUDA graph records it as well."""

    def __init__(self, network: Network, parameters: Rows, gradients: Rows):
        self.network, self.parameters, self.gradients = network, parameters, gradients

    @staticmethod
    def supports(network: Network) -> bool:
        """Whether the kernel computes the network's layers, and numba-cuda is installed."""
        fits = network.width <= WIDEST_ON_GPU and network.dropout is None
        return fits and KernelEvaluator.supports(network) and find_spec("numba_cuda") is not None

    def _evaluate(self, batch: Batch, training: bool) -> Evaluate:
        from numba import cuda

        from bnstudy import cuda_kernels

        def array(tensor: Tensor) -> Any:
            return cuda.as_cuda_array(tensor) if tensor.is_cuda else tensor.numpy()

        norm, theta = self.network.norm, self.parameters
        layer = norm or BatchNorm(1, 1, momentum=0.0, epsilon=0.0, correction=1).to(theta.device)
        moments, losses = Moments.of(batch.inputs, layer.correction), theta.new_empty(len(theta))
        arguments = (
            *(array(batch.samples), batch.start, batch.stop),
            *(array(moments.mean[:, 0]), array(moments.covariance)),
            *(array(theta), layer.momentum, layer.epsilon),
            *(array(layer.running_mean[:, 0]), array(layer.running_std[:, 0])),
            *(array(self.gradients), array(losses)),
        )
        flags = None if norm is None else (norm.centre, norm.divide)
        launch = cuda_kernels.launcher(self.network.width, flags, training, arguments)

        def evaluate() -> Tensor:
            if norm is not None and training and not batch.fixed:
                for known, now in zip(
                    moments, Moments.of(batch.inputs, layer.correction), strict=True
                ):
                    known.copy_(now)
            stream = (
                cuda.external_stream(torch.cuda.current_stream().cuda_stream)
                if theta.is_cuda
                else 0
            )
            launch(stream)
            return losses.clone()

        return evaluate


def _drops(dropout: Dropout | None, samples: int, units: int) -> tuple[Any, float]:
    """What the pass drops, and what it multiplies the rest with."""
    if dropout is None:
        return None, 1.0
    return (dropout.draws(samples, units).numpy(), dropout.threshold), dropout.scale


def _row(tensor: Float64[Tensor, "seed 1 unit"]) -> Float64[np.ndarray, "seed unit"]:
    """Without the axis over samples."""
    return tensor.detach().numpy()[:, 0]


def singles_of(network: Network) -> list[Network]:
    """Each replicate as a network of its own, on the same memory."""
    singles = []
    for row in range(len(network.output.weight)):
        rows = slice(row, row + 1)
        single = copy.deepcopy(network)
        for name, parameter in network.named_parameters():
            single.get_parameter(name).data = parameter.data[rows]
        for name, buffer in network.named_buffers():
            module, _, leaf = name.rpartition(".")
            setattr(single.get_submodule(module), leaf, buffer[rows])
        if network.dropout is not None and single.dropout is not None:
            single.dropout.generators = network.dropout.generators[rows]
        singles.append(single)
    return singles


class AutogradEvaluator:
    """Losses and gradients by PyTorch, of an objective.

    `networks`: the network of all replicates, or each replicate as a network of its own: in batched
    products and sums the last bit may depend on the number of replicates. `gradients`: the rows
    (R, P) where their gradients go.
    """

    def __init__(self, networks: Sequence[Network], gradients: Rows, objective: Objective):
        self.networks, self.objective = networks, objective
        self.size = len(gradients) // len(networks)
        self.rows = gradients.split(self.size)

    def train(self, batch: Batch) -> Evaluate:
        """In training mode, with gradients."""
        steps = [
            self._step(network, objective, rows)
            for network, objective, rows in zip(
                self.networks, self._objectives(batch), self.rows, strict=True
            )
        ]
        return self._in_mode(True, lambda: torch.cat([step() for step in steps]))

    def _step(self, network: Network, objective: Evaluate, rows: Rows) -> Evaluate:
        """One network's losses; leaves their gradients in `rows`."""
        parameters, gradients = list(network.parameters()), list(split(rows, network).values())
        one = rows.new_ones(self.size)

        def step() -> Tensor:
            losses = objective()
            found = torch.autograd.grad(losses, parameters, one, materialize_grads=True)
            for gradient, value in zip(gradients, found, strict=True):
                gradient.copy_(value)
            return losses.detach()

        return step

    def test(self, batch: Batch) -> Evaluate:
        """In evaluation mode, without gradients."""
        objectives = self._objectives(batch)
        evaluate = torch.no_grad()(lambda: torch.cat([objective() for objective in objectives]))
        return self._in_mode(False, evaluate)

    def _objectives(self, batch: Batch) -> list[Evaluate]:
        parts = zip(self.networks, batch.split(self.size), strict=True)
        return [self.objective(network, part) for network, part in parts]

    def _in_mode(self, training: bool, evaluate: Evaluate) -> Evaluate:
        def evaluate_in_mode() -> Tensor:
            for network in self.networks:
                network.train(training)
            return evaluate()

        return evaluate_in_mode


def make_evaluator(
    network: Network, parameters: Rows, gradients: Rows, objective: Objective | None = None
) -> AutogradEvaluator | KernelEvaluator:
    """By `objective`, if given; else the fastest way to train and test `network` on its device."""
    if parameters.is_cuda and objective is None:
        if CudaEvaluator.supports(network):
            return CudaEvaluator(network, parameters, gradients)
        objective = plain_objective
    if objective is not None:
        return AutogradEvaluator([network], gradients, objective)
    if KernelEvaluator.supports(network):
        return KernelEvaluator(network, parameters, gradients)
    networks = [network] if network.has_affine else singles_of(network)
    return AutogradEvaluator(networks, gradients, fused_objective)
