"""Half of BN: the batch's mean is subtracted, nothing is divided by its σ."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from bnstudy.experiment.layers import Affine, Linear, Moments, Network, track

LABEL = "BN, mean only"
COLOUR = "#882255"
MARKER = "<"
LINE = "--"
USES = ("batch_norm",)


class Centre(nn.Module):
    """a ↦ scale · (a - μ) + shift; μ and its running value as in BatchNorm."""

    running_mean: Tensor

    def __init__(
        self, replicates: int, units: int, *, momentum: float, epsilon: float, correction: int
    ):
        super().__init__()
        self.momentum, self.correction = momentum, correction
        shape = (replicates, 1, units)
        self.scale = nn.Parameter(torch.ones(shape, dtype=torch.float64))
        self.shift = nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("running_mean", torch.zeros(shape, dtype=torch.float64))

    def forward(
        self, a: Float64[Tensor, "seed sample unit"]
    ) -> Float64[Tensor, "seed sample unit"]:
        mean = self.running_mean
        if self.training:
            mean = a.mean(dim=1, keepdim=True)
            track(self.running_mean, mean, self.momentum)
        return self.scale * (a - mean) + self.shift

    def affine(self, before: Affine, moments: Moments | None) -> Affine:
        """As in BatchNorm: in training mode the bias before cancels."""
        if self.training:
            assert moments is not None
            projected = moments.mean @ before.weight
            track(self.running_mean, projected + before.bias, self.momentum)
            shift = self.shift - projected * self.scale
        else:
            shift = self.shift + (before.bias - self.running_mean) * self.scale
        return Affine(before.weight * self.scale, shift)


def build(
    hidden: Linear,
    output: Linear,
    *,
    seeds: Sequence[int],
    inputs: Tensor,
    batch_norm: Mapping[str, Any],
) -> Network:
    """Scale 1, shift 0 and running mean 0 to start with."""
    return Network(hidden, output, Centre(len(seeds), hidden.weight.shape[-1], **batch_norm))
