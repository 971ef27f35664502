"""Half of BN: the batch's mean is subtracted, nothing is divided by its σ."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float64
from torch import Tensor

from bnstudy.experiment.layers import Affine, BatchNorm, Linear, Moments, Network, Settings, track

LABEL = "BN, mean only"
COLOUR = "#882255"
MARKER = "<"
LINE = "--"
USES = ("batch_norm",)


class Centre(BatchNorm):
    """a ↦ scale · (a - μ) + shift; μ and its running value as in BatchNorm."""

    def __init__(self, replicates: int, units: int, **settings: Any):
        super().__init__(replicates, units, **settings)
        del self.running_std

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
    hidden: Linear, output: Linear, *, seeds: Sequence[int], inputs: Tensor, batch_norm: Settings
) -> Network:
    """Scale 1, shift 0 and running mean 0 to start with."""
    return Network(hidden, output, Centre(len(seeds), hidden.weight.shape[-1], **batch_norm))
