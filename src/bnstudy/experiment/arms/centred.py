"""Half of BN: the batch's mean is subtracted, nothing is divided by its σ."""

from collections.abc import Sequence

from torch import Tensor

from bnstudy.experiment.layers import BatchNorm, Linear, Network, Settings

LABEL = "BN, mean only"
COLOUR = "#882255"
MARKER = "<"
LINE = "--"
USES = ("batch_norm",)


class Centre(BatchNorm):
    """a ↦ scale · (a - μ) + shift."""

    divide = False


def build(
    hidden: Linear, output: Linear, *, seeds: Sequence[int], inputs: Tensor, batch_norm: Settings
) -> Network:
    """Scale 1, shift 0 and running mean 0 to start with."""
    return Network(hidden, output, Centre(len(seeds), hidden.weight.shape[-1], **batch_norm))
