"""The article's network without batch normalisation."""

from collections.abc import Sequence

from torch import Tensor

from bnstudy.experiment.layers import Linear, Network

LABEL = "without BN"
COLOUR = "#003B6F"
MARKER = "s"
LINE = "-"


def build(hidden: Linear, output: Linear, *, seeds: Sequence[int], inputs: Tensor) -> Network:
    """Hidden layer, tanh, output layer."""
    return Network(hidden, output)
