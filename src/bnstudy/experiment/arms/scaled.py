"""The other half of BN: divided by the batch's σ, the mean stays."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from bnstudy.experiment.layers import Affine, Linear, Moments, Network, spread, track

LABEL = "BN, σ only"
COLOUR = "#999933"
MARKER = ">"
LINE = ":"
USES = ("batch_norm",)


class Scale(nn.Module):
    """a ↦ scale · a/σ + shift; σ and its running value as in BatchNorm."""

    running_std: Tensor

    def __init__(
        self, replicates: int, units: int, *, momentum: float, epsilon: float, correction: int
    ):
        super().__init__()
        self.momentum, self.epsilon, self.correction = momentum, epsilon, correction
        shape = (replicates, 1, units)
        self.scale = nn.Parameter(torch.ones(shape, dtype=torch.float64))
        self.shift = nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("running_std", torch.ones(shape, dtype=torch.float64))

    def forward(
        self, a: Float64[Tensor, "seed sample unit"]
    ) -> Float64[Tensor, "seed sample unit"]:
        std = self.running_std
        if self.training:
            std = (a.var(dim=1, correction=self.correction, keepdim=True) + self.epsilon).sqrt()
            track(self.running_std, std, self.momentum)
        return self.scale * a / std + self.shift

    def affine(self, before: Affine, moments: Moments | None) -> Affine:
        """As in BatchNorm, but the bias before counts."""
        std = self.running_std
        if self.training:
            assert moments is not None
            std = spread(before, moments, self.epsilon)
            track(self.running_std, std, self.momentum)
        gain = self.scale / std
        return Affine(before.weight * gain, self.shift + before.bias * gain)


def build(
    hidden: Linear,
    output: Linear,
    *,
    seeds: Sequence[int],
    inputs: Tensor,
    batch_norm: Mapping[str, Any],
) -> Network:
    """Scale 1, shift 0 and running σ 1 to start with."""
    return Network(hidden, output, Scale(len(seeds), hidden.weight.shape[-1], **batch_norm))
