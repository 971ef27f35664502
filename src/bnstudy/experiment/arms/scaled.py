"""The other half of BN: divided by the batch's σ, the mean stays."""

from collections.abc import Sequence

from torch import Tensor

from bnstudy.experiment.layers import BatchNorm, Linear, Network, Settings

LABEL = "BN, σ only"
COLOUR = "#999933"
MARKER = ">"
LINE = ":"
USES = ("batch_norm",)


class Scale(BatchNorm):
    """a ↦ scale · a/σ + shift."""

    centre = False


def build(
    hidden: Linear, output: Linear, *, seeds: Sequence[int], inputs: Tensor, batch_norm: Settings
) -> Network:
    """Scale 1, shift 0 and running σ 1 to start with."""
    return Network(hidden, output, Scale(len(seeds), hidden.weight.shape[-1], **batch_norm))
