"""The networks, in plain PyTorch: the readable definition that everything else is checked against.

R independent replicates are one network: every parameter and every input has a leading replicate
axis, so that one process trains R models at once. Shapes: inputs (R, n, 3), outputs (R, n, 3);
float64 throughout.

    a = x W₁ + b₁,   [batch normalisation of a],   h = tanh(a),   y = h W₂ + b₂.

Each layer with parameters says two things: `forward`, what it computes, and, for the layers up to
the activation, `fold`, the same affine map written as one weight and one bias (see BatchNorm).
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

INPUTS, OUTPUTS = 3, 3


class Moments(NamedTuple):
    """Mean (R, 1, inputs) and covariance (R, inputs, inputs; divisor n - correction) of inputs."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, inputs: Tensor, correction: int) -> "Moments":
        """Of inputs (R, n, inputs), over n.

        One replicate at a time: in a batched sum or product the order of the additions, and with it
        the last bit, may depend on the number of replicates.
        """
        means = [replicate.mean(dim=0, keepdim=True) for replicate in inputs]
        centred = [replicate - mean for replicate, mean in zip(inputs, means, strict=True)]
        covariances = [c.mT @ c / (len(c) - correction) for c in centred]
        return cls(torch.stack(means), torch.stack(covariances))


class Affine(NamedTuple):
    """x ↦ x · weight + bias; weight (R, inputs, features), bias (R, 1, features)."""

    weight: Tensor
    bias: Tensor


class Linear(nn.Module):
    """x ↦ x W + b, a replicate each: W (R, inputs, features), b (R, 1, features)."""

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(R, n, inputs) to (R, n, features)."""
        return torch.baddbmm(self.bias, x, self.weight)


class BatchNorm(nn.Module):
    """Normalise every feature over the batch, then scale and shift it: the article's BN.

    Training: μ and σ = √(Var + ε) of the batch, the variance with divisor n - correction;
    running value ← momentum · running value + (1 - momentum) · batch value. It is the standard
    deviation, ε inside, that is averaged. Evaluation: the running values, no further ε.

    Where this differs from `torch.nn.BatchNorm1d`: `momentum` weighs the OLD value; σ is averaged,
    not σ²; the batch itself is normalised with the same (unbiased, if correction is 1) divisor.
    Source: the article's program; Ioffe & Szegedy 2015, algorithm 1, for the idea.
    """

    def __init__(
        self, replicates: int, features: int, *, momentum: float, epsilon: float, correction: int
    ):
        super().__init__()
        self.momentum, self.epsilon, self.correction = momentum, epsilon, correction
        shape = (replicates, 1, features)
        self.scale = nn.Parameter(torch.ones(shape, dtype=torch.float64))
        self.shift = nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("running_mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("running_std", torch.ones(shape, dtype=torch.float64))

    def forward(self, a: Tensor) -> Tensor:
        """(R, n, features) to the same; in training mode it updates the running values."""
        if self.training:
            mean = a.mean(dim=1, keepdim=True)
            std = (a.var(dim=1, correction=self.correction, keepdim=True) + self.epsilon).sqrt()
            self._track(mean, std)
        else:
            mean, std = self.running_mean, self.running_std
        return self.scale * (a - mean) / std + self.shift

    def fold(self, linear: Linear, moments: Moments | None) -> Affine:
        """`forward` after `linear` as one affine map of the inputs.

        In training mode μ = x̄W + b and σ² = diag(WᵀCW) + ε follow from the inputs' mean x̄ and
        covariance C (`moments`) alone, so that BN costs O(features), not O(n · features). The bias
        b then cancels, as it does in exact arithmetic in `forward`. Evaluation needs no moments.
        """
        if self.training:
            projected = moments.mean @ linear.weight
            spread = (linear.weight * (moments.covariance @ linear.weight)).sum(1, keepdim=True)
            std = (spread + self.epsilon).sqrt()
            self._track(projected + linear.bias, std)
            gain = self.scale / std
            return Affine(linear.weight * gain, self.shift - projected * gain)
        gain = self.scale / self.running_std
        return Affine(linear.weight * gain, self.shift + (linear.bias - self.running_mean) * gain)

    @torch.no_grad()
    def _track(self, mean: Tensor, std: Tensor) -> None:
        self.running_mean.mul_(self.momentum).add_(mean, alpha=1 - self.momentum)
        self.running_std.mul_(self.momentum).add_(std, alpha=1 - self.momentum)


class Network(nn.Module):
    """R replicates of the article's network; `norm` is None or the layer before the activation."""

    def __init__(self, hidden: Linear, norm: BatchNorm | None, output: Linear):
        super().__init__()
        self.hidden = hidden
        self.norm = norm
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        """(R, n, 3) to (R, n, 3)."""
        a = self.hidden(x)
        if self.norm is not None:
            a = self.norm(a)
        return self.output(torch.tanh(a))

    def fold(self, moments: Moments | None) -> Affine:
        """Everything before the activation as one affine map of the inputs."""
        if self.norm is None:
            return Affine(self.hidden.weight, self.hidden.bias)
        return self.norm.fold(self.hidden, moments)


def initial_weights(seed: int, width: int) -> dict[str, Tensor]:
    """The article's draw for one replicate: N(0, 1), unscaled, in the order W₁, b₁, W₂, b₂.

    One `torch.randn` each after seeding with `seed`, from a generator of its own.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "hidden.weight": (INPUTS, width),
        "hidden.bias": (1, width),
        "output.weight": (width, OUTPUTS),
        "output.bias": (1, OUTPUTS),
    }
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


def make_network(
    arm: str, width: int, seeds: Iterable[int], batch_norm: dict | None = None
) -> Network:
    """The untrained networks of `seeds`, stacked. BN draws nothing: arms share their weights.

    `batch_norm`: momentum, epsilon, correction; used by the arm `batch`. ValueError for an unknown
    arm.
    """
    draws = [initial_weights(seed, width) for seed in seeds]
    weights = {name: torch.stack([draw[name] for draw in draws]) for name in draws[0]}
    hidden = Linear(weights["hidden.weight"], weights["hidden.bias"])
    output = Linear(weights["output.weight"], weights["output.bias"])
    match arm:
        case "none":
            norm = None
        case "batch":
            norm = BatchNorm(len(draws), width, **batch_norm)
        case _:
            raise ValueError(f"unknown arm {arm!r}")
    return Network(hidden, norm, output)
