"""The networks, in plain PyTorch: the readable definition that everything else is checked against.

R independent replicates are one network: every parameter and every input has a leading replicate
axis, so that one process trains R models at once. Shapes: inputs (R, n, 3), outputs (R, n, 3);
float64 throughout.

    a = x W₁ + b₁,   [batch normalisation of a],   h = tanh(a),   [dropout],   y = h W₂ + b₂.

Each layer with parameters says two things: `forward`, what it computes, and, for the layers up to
the activation, `fold`, the same affine map written as one weight and one bias (see BatchNorm).
"""

from collections.abc import Iterable, Mapping, Sequence
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
            std = self.spread(linear, moments)
            self._track(projected + linear.bias, std)
            gain = self.scale / std
            return Affine(linear.weight * gain, self.shift - projected * gain)
        gain = self.scale / self.running_std
        return Affine(linear.weight * gain, self.shift + (linear.bias - self.running_mean) * gain)

    def spread(self, linear: Linear, moments: Moments) -> Tensor:
        """σ_B (R, 1, features) of what `linear` makes of inputs with these moments."""
        variance = (linear.weight * (moments.covariance @ linear.weight)).sum(1, keepdim=True)
        return (variance + self.epsilon).sqrt()

    @torch.no_grad()
    def _track(self, mean: Tensor, std: Tensor) -> None:
        self.running_mean.mul_(self.momentum).add_(mean, alpha=1 - self.momentum)
        self.running_std.mul_(self.momentum).add_(std, alpha=1 - self.momentum)


class Dropout(nn.Module):
    """Inverted dropout: in training each hidden value is 0 with probability `rate`, else divided by
    1 - rate, so that its expectation stays; in evaluation nothing happens.

    A generator a replicate, seeded by the replicate's own seed: what is dropped does not depend on
    which replicates are trained together. Source: Srivastava et al. 2014; inverted as in Dive into
    Deep Learning, the dropout chapter.
    """

    def __init__(self, rate: float, seeds: Iterable[int]):
        super().__init__()
        self.rate = rate
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def forward(self, h: Tensor) -> Tensor:
        """(R, n, features) to the same."""
        return h * torch.stack(self.masks(h[0])) if self.training else h

    def masks(self, h: Tensor) -> list[Tensor]:
        """What to multiply the hidden values with, a mask a replicate; each like `h` (n, width)."""
        draws = (torch.rand(h.shape, generator=generator) for generator in self.generators)
        return [(draw >= self.rate).to(h) / (1 - self.rate) for draw in draws]


class Network(nn.Module):
    """R replicates of the article's network: hidden, [norm], tanh, [dropout], output."""

    def __init__(
        self,
        hidden: Linear,
        output: Linear,
        norm: BatchNorm | None = None,
        dropout: Dropout | None = None,
    ):
        super().__init__()
        self.hidden = hidden
        self.norm = norm
        self.dropout = dropout
        self.output = output

    @property
    def width(self) -> int:
        """Number of hidden units."""
        return self.hidden.weight.shape[-1]

    def forward(self, x: Tensor) -> Tensor:
        """(R, n, 3) to (R, n, 3)."""
        a = self.hidden(x)
        if self.norm is not None:
            a = self.norm(a)
        h = torch.tanh(a)
        if self.dropout is not None:
            h = self.dropout(h)
        return self.output(h)

    def moments(self, inputs: Tensor) -> Moments | None:
        """What `fold` needs to know of a batch of inputs (R, n, 3)."""
        return None if self.norm is None else Moments.of(inputs, self.norm.correction)

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
    arm: str,
    width: int,
    seeds: Sequence[int],
    *,
    inputs: Tensor | None = None,
    batch_norm: Mapping | None = None,
    dropout: Mapping | None = None,
) -> Network:
    """The untrained networks of `seeds`, stacked. All arms of a seed share the drawn weights.

    `inputs`, the training inputs (R, n, 3), are needed by the arms that start from another arm's
    initial function. `batch_norm`: momentum, epsilon, correction; `dropout`: rate; each for the
    arms that have such a layer. ValueError for an unknown arm.

    - none: the article's network without BN; batch: with it.
    - batch-matched: BN, but started from none's initial function: scale = σ_B, shift = μ_B, and
      running values that agree with them.
    - none-standardized: no BN layer; the weights start so that the function is batch's initial one:
      W ← W/σ_B, b ← -x̄W/σ_B.
    - dropout: no BN; dropout after the activation.
    """
    draws = [initial_weights(seed, width) for seed in seeds]
    weights = {name: torch.stack([draw[name] for draw in draws]) for name in draws[0]}
    hidden = Linear(weights["hidden.weight"], weights["hidden.bias"])
    output = Linear(weights["output.weight"], weights["output.bias"])
    match arm:
        case "none":
            return Network(hidden, output)
        case "dropout":
            return Network(hidden, output, dropout=Dropout(dropout["rate"], seeds))
        case "batch":
            return Network(hidden, output, BatchNorm(len(seeds), width, **batch_norm))
        case "batch-matched":
            norm = BatchNorm(len(seeds), width, **batch_norm)
            mean, std = batch_statistics(hidden, inputs, norm)
            with torch.no_grad():
                norm.scale.copy_(std)
                norm.shift.copy_(mean)
            norm.running_mean.copy_(mean)
            norm.running_std.copy_(std)
            return Network(hidden, output, norm)
        case "none-standardized":
            norm = BatchNorm(len(seeds), width, **batch_norm)
            with torch.no_grad():
                folded = norm.fold(hidden, Moments.of(inputs, norm.correction))
            return Network(Linear(*folded), output)
    raise ValueError(f"unknown arm {arm!r}")


def batch_statistics(hidden: Linear, inputs: Tensor, norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """μ_B and σ_B = √(Var + ε) of `hidden`'s outputs for inputs (R, n, 3): (R, 1, features) each.

    From the inputs' moments, as in `BatchNorm.fold`.
    """
    moments = Moments.of(inputs, norm.correction)
    with torch.no_grad():
        mean = moments.mean @ hidden.weight + hidden.bias
        return mean, norm.spread(hidden, moments)
