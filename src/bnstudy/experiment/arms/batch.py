"""The article's network with batch normalisation before the activation."""

from collections.abc import Sequence

from torch import Tensor

from bnstudy.experiment.layers import BatchNorm, Linear, Network, Settings

LABEL = "with BN"
COLOUR = "#D55E00"
MARKER = "o"
LINE = "-"
USES = ("batch_norm",)


def build(
    hidden: Linear, output: Linear, *, seeds: Sequence[int], inputs: Tensor, batch_norm: Settings
) -> Network:
    """Scale 1, shift 0, running mean 0 and running σ 1 to start with, as in the article."""
    width = hidden.weight.shape[-1]
    return Network(hidden, output, BatchNorm(len(seeds), width, **batch_norm))
