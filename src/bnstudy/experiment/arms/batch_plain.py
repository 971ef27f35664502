"""BN without its scale and shift: normalised, and nothing after."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from bnstudy.experiment.layers import Affine, BatchNorm, Linear, Moments, Network, Settings

LABEL = "BN, no scale or shift"
COLOUR = "#A6761D"
MARKER = "d"
LINE = ":"
USES = ("batch_norm",)


class Plain(BatchNorm):
    """a ↦ (a - μ)/σ: scale 1 and shift 0 are constants."""

    def __init__(self, replicates: int, units: int, **settings: Any):
        super().__init__(replicates, units, **settings)
        for name in ("scale", "shift"):
            constant = getattr(self, name).detach()
            delattr(self, name)
            self.register_buffer(name, constant)

    def affine(self, before: Affine, moments: Moments | None) -> Affine:
        """BN's; a method of its own, since the compiled pass trains scale and shift."""
        return super().affine(before, moments)


def build(
    hidden: Linear, output: Linear, *, seeds: Sequence[int], inputs: Tensor, batch_norm: Settings
) -> Network:
    """Running mean 0 and running σ 1 to start with."""
    return Network(hidden, output, Plain(len(seeds), hidden.weight.shape[-1], **batch_norm))
