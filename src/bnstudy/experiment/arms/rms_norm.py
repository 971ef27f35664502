"""RMS normalisation before the activation: layer normalisation that subtracts no mean, adds no
shift.

No affine map of the inputs, so it is trained the general way. Source: Zhang & Sennrich 2019.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.nn import functional

from bnstudy.experiment.layers import Linear, Network

LABEL = "RMS norm"
COLOUR = "#DDAA33"
MARKER = "p"
LINE = "--"


class RMSNorm(nn.Module):
    """`torch.nn.RMSNorm` (ε = float64's) with a scale for each seed."""

    def __init__(self, replicates: int, units: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(replicates, 1, units, dtype=torch.float64))

    def forward(
        self, a: Float64[Tensor, "seed sample unit"]
    ) -> Float64[Tensor, "seed sample unit"]:
        return functional.rms_norm(a, a.shape[-1:]) * self.scale


def build(hidden: Linear, output: Linear, *, seeds: Sequence[int], inputs: Tensor) -> Network:
    """Scale 1 to start with."""
    return Network(hidden, output, RMSNorm(len(seeds), hidden.weight.shape[-1]))
