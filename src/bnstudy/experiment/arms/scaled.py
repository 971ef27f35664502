"""The other half of BN: divided by the batch's σ, the mean stays."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float64
from torch import Tensor

from bnstudy.experiment.layers import (
    Affine,
    BatchNorm,
    Linear,
    Moments,
    Network,
    Settings,
    spread,
    track,
)

LABEL = "BN, σ only"
COLOUR = "#999933"
MARKER = ">"
LINE = ":"
USES = ("batch_norm",)


class Scale(BatchNorm):
    """a ↦ scale · a/σ + shift; σ and its running value as in BatchNorm."""

    def __init__(self, replicates: int, units: int, **settings: Any):
        super().__init__(replicates, units, **settings)
        del self.running_mean

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
    hidden: Linear, output: Linear, *, seeds: Sequence[int], inputs: Tensor, batch_norm: Settings
) -> Network:
    """Scale 1, shift 0 and running σ 1 to start with."""
    return Network(hidden, output, Scale(len(seeds), hidden.weight.shape[-1], **batch_norm))
