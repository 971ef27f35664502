"""The networks, in plain PyTorch: the readable definition that everything else is checked against.

R independent replicates are one network: every parameter and every input has a leading axis over
seeds, so that one process trains R models at once. Shapes: inputs (R, n, 3), outputs (R, n, 3);
float64 throughout.

    a = x W₁ + b₁,   [normalisation of a],   h = tanh(a),   [dropout],   y = h W₂ + b₂.

A layer before the activation says what it computes (`forward`) and may say the same as one affine
map of the inputs (`affine`, see BatchNorm). Networks whose layers all do are trained the fast way.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int16
from torch import Tensor, nn

from bnstudy.config import members

INPUTS, OUTPUTS = 3, 3
Settings = Mapping[str, Any]


class Moments(NamedTuple):
    """Mean (R, 1, inputs) and covariance (R, inputs, inputs; divisor n - correction) of inputs."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, inputs: Float64[Tensor, "seed sample input"], correction: int) -> "Moments":
        """The moments over the samples.

        One replicate at a time: in a batched sum or product the order of the additions, and with it
        the last bit, may depend on the number of replicates.
        """
        if inputs.is_cuda:  # nothing there is promised to the last bit
            mean = inputs.mean(dim=1, keepdim=True)
            centred = inputs - mean
            return cls(mean, centred.mT @ centred / (inputs.shape[1] - correction))
        means = [replicate.mean(dim=0, keepdim=True) for replicate in inputs]
        deviations = [replicate - mean for replicate, mean in zip(inputs, means, strict=True)]
        covariances = [d.mT @ d / (len(d) - correction) for d in deviations]
        return cls(torch.stack(means), torch.stack(covariances))


class Affine(NamedTuple):
    """x ↦ x · weight + bias; weight (R, inputs, units), bias (R, 1, units)."""

    weight: Tensor
    bias: Tensor


class Linear(nn.Module):
    """x ↦ x W + b, one for each replicate: W (R, inputs, units), b (R, 1, units)."""

    def __init__(
        self, weight: Float64[Tensor, "seed input unit"], bias: Float64[Tensor, "seed 1 unit"]
    ):
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(
        self, x: Float64[Tensor, "seed sample input"]
    ) -> Float64[Tensor, "seed sample unit"]:
        return torch.baddbmm(self.bias, x, self.weight)

    def affine(self) -> Affine:
        """`forward` as an affine map, which it is."""
        return Affine(self.weight, self.bias)


class BatchNorm(nn.Module):
    """Normalise every unit over the batch, then scale and shift it: the article's BN.

    Training: μ and σ = √(Var + ε) of the batch, the variance with divisor n - correction;
    running value ← momentum · running value + (1 - momentum) · batch value. It is the standard
    deviation, ε inside, that is averaged. Evaluation: the running values, no further ε.

    Where this differs from `torch.nn.BatchNorm1d`: `momentum` weighs the OLD value; σ is averaged,
    not σ²; the batch itself is normalised with the same (unbiased, if correction is 1) divisor.
    Source: the article's program; Ioffe & Szegedy 2015, algorithm 1, for the idea.

    Variants leave a half of it out: where `centre` is False, the mean stays (it is taken as the
    running mean's first value, 0); where `divide` is False, so does σ (1).
    """

    running_mean: Tensor
    running_std: Tensor
    centre = divide = True

    def __init__(
        self, replicates: int, units: int, *, momentum: float, epsilon: float, correction: int
    ):
        super().__init__()
        self.momentum, self.epsilon, self.correction = momentum, epsilon, correction
        shape = (replicates, 1, units)
        self.scale = nn.Parameter(torch.ones(shape, dtype=torch.float64))
        self.shift = nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("running_mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("running_std", torch.ones(shape, dtype=torch.float64))

    def forward(
        self, a: Float64[Tensor, "seed sample unit"]
    ) -> Float64[Tensor, "seed sample unit"]:
        """In training mode it updates the running values."""
        mean, std = self.running_mean, self.running_std
        if self.training and self.centre:
            mean = a.mean(dim=1, keepdim=True)
            track(self.running_mean, mean, self.momentum)
        if self.training and self.divide:
            std = (a.var(dim=1, correction=self.correction, keepdim=True) + self.epsilon).sqrt()
            track(self.running_std, std, self.momentum)
        return self.scale * (a - mean) / std + self.shift

    def affine(self, before: Affine, moments: Moments | None) -> Affine:
        """`forward` after `before` as one affine map of the inputs.

        In training mode μ = x̄W + b and σ² = diag(WᵀCW) + ε follow from the inputs' mean x̄ and
        covariance C (`moments`) alone, so that BN costs O(units), not O(n · units). The bias b then
        cancels, as it does in exact arithmetic in `forward`. Evaluation needs no moments.
        """
        offset, std = before.bias - self.running_mean, self.running_std
        if self.training:
            assert moments is not None
            if self.centre:
                projected = moments.mean @ before.weight
                track(self.running_mean, projected + before.bias, self.momentum)
                offset = -projected
            if self.divide:
                std = spread(before, moments, self.epsilon)
                track(self.running_std, std, self.momentum)
        gain = self.scale / std
        return Affine(before.weight * gain, self.shift + offset * gain)


def spread(before: Affine, moments: Moments, epsilon: float) -> Float64[Tensor, "seed 1 unit"]:
    """σ_B = √(Var + ε) of what `before` makes of inputs with these moments."""
    variance = (before.weight * (moments.covariance @ before.weight)).sum(1, keepdim=True)
    return (variance + epsilon).sqrt()


@torch.no_grad()
def track(running: Tensor, value: Tensor, momentum: float) -> None:
    """running ← momentum · running + (1 - momentum) · value, in place."""
    running.mul_(momentum).add_(value, alpha=1 - momentum)


class RandomBits:
    """Random 64-bit integers, by NumPy's SFC64: PyTorch's generator takes twice the time."""

    def __init__(self, seed: int):
        self.bits = np.random.SFC64(seed)

    def draw(self, count: int) -> np.ndarray:
        """So many integers."""
        return self.bits.random_raw(count)

    def get_state(self) -> Tensor:
        """As of `torch.Generator`."""
        return torch.from_numpy(self.bits.state["state"]["state"].view(np.int64))

    def set_state(self, state: Tensor) -> None:
        """As of `torch.Generator`."""
        whole = self.bits.state
        whole["state"]["state"] = state.numpy().view(np.uint64)
        self.bits.state = whole


class Dropout(nn.Module):
    """Inverted dropout: in training each hidden value is 0 with probability `rate`, else divided by
    1 - rate, so that its expectation stays; in evaluation nothing happens.

    One generator for each replicate, seeded by the replicate's own seed: what is dropped does not
    depend on which replicates are trained together. A draw is a 16-bit integer; `rate` is met to
    1/65536. Source: Srivastava et al. 2014; inverted as in Dive into Deep Learning, the dropout
    chapter.
    """

    def __init__(self, rate: float, seeds: Iterable[int]):
        super().__init__()
        self.threshold, self.scale = round(rate * 2**16) - 2**15, 1 / (1 - rate)
        self.generators = [RandomBits(seed) for seed in seeds]

    def forward(
        self, h: Float64[Tensor, "seed sample unit"]
    ) -> Float64[Tensor, "seed sample unit"]:
        if not self.training:
            return h
        samples, units = h.shape[1:]
        kept = self.draws(samples, units)[:, :, :samples].mT >= self.threshold
        return h * (kept.to(h) * self.scale)

    def draws(self, samples: int, units: int) -> Int16[Tensor, "seed unit sample"]:
        """What decides: below the threshold is dropped. Maybe for more samples than there are:
        eight at a time, as the fast path takes them; four draws are made as one 64-bit integer."""
        shape = units, -(-samples // 8) * 8
        drawn = [generator.draw(math.prod(shape) // 4) for generator in self.generators]
        return torch.from_numpy(np.stack(drawn).view(np.int16)).view(-1, *shape)


class Network(nn.Module):
    """R replicates of the article's network: hidden, [norm], tanh, [dropout], output.

    All its parameters are trained; what stays constant is a buffer.
    """

    hidden: Any  # Linear, or a layer with its parameters in the same shapes
    norm: Any  # maps (R, n, units) to the same

    def __init__(
        self,
        hidden: nn.Module,
        output: Linear,
        norm: nn.Module | None = None,
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
        return self.output.weight.shape[1]

    @property
    def has_affine(self) -> bool:
        """Whether all before the activation can be written as one affine map."""
        layers = (self.hidden, self.norm)
        return all(hasattr(layer, "affine") for layer in layers if layer is not None)

    def forward(
        self, x: Float64[Tensor, "seed sample input"]
    ) -> Float64[Tensor, "seed sample output"]:
        return self.after(self.pre_activations(x))

    def pre_activations(
        self, x: Float64[Tensor, "seed sample input"]
    ) -> Float64[Tensor, "seed sample unit"]:
        """What enters tanh."""
        a = self.hidden(x)
        return a if self.norm is None else self.norm(a)

    def after(
        self, a: Float64[Tensor, "seed sample unit"]
    ) -> Float64[Tensor, "seed sample output"]:
        """The outputs, of the pre-activations."""
        h = torch.tanh(a)
        return self.output(h if self.dropout is None else self.dropout(h))

    def affine(self, moments: Moments | None) -> Affine:
        """Everything before the activation as one affine map of the inputs."""
        hidden = self.hidden.affine()
        return hidden if self.norm is None else self.norm.affine(hidden, moments)


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


def draw(seeds: Sequence[int], width: int) -> tuple[Linear, Linear]:
    """The hidden and the output layer that every arm starts from, stacked over `seeds`."""
    draws = [initial_weights(seed, width) for seed in seeds]
    weights = {name: torch.stack([draw[name] for draw in draws]) for name in draws[0]}
    hidden = Linear(weights["hidden.weight"], weights["hidden.bias"])
    return hidden, Linear(weights["output.weight"], weights["output.bias"])


def build_network(
    arm: str,
    width: int,
    seeds: Sequence[int],
    inputs: Float64[Tensor, "seed sample input"],
    settings: Settings,
) -> Network:
    """The untrained networks of `seeds`, stacked. All arms of a seed share the drawn weights.

    `inputs` are the training inputs: some arms start from another arm's initial function.
    `settings`: those of a training job, of which `arm_settings` and what the arm's USES names (such
    as `batch_norm`) count. ModuleNotFoundError for an unknown arm.
    """
    member = members.load("arms", arm)
    shared = {name: settings[name] for name in getattr(member, "USES", ())}
    own = settings.get("arm_settings", {})
    return member.build(*draw(seeds, width), seeds=seeds, inputs=inputs, **shared, **own)


def split(
    rows: Float64[Tensor, "seed parameter"], network: nn.Module
) -> dict[str, Float64[Tensor, "seed ..."]]:
    """Views of rows (R, P) in the shapes and the order of the network's parameters (R, ...)."""
    parameters = dict(network.named_parameters())
    parts = rows.split([p[0].numel() for p in parameters.values()], dim=1)
    return {
        name: part.view(-1, *p.shape[1:])
        for (name, p), part in zip(parameters.items(), parts, strict=True)
    }
