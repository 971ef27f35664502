"""Layer normalisation before the activation: over the units of each sample, not over the batch.

No affine map of the inputs, so it is trained the general way. Source: Ba, Kiros & Hinton 2016.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.nn import functional

from bnstudy.experiment.layers import Linear, Network

LABEL = "layer norm"
COLOUR = "#CC79A7"
MARKER = "P"
LINE = "-"


class LayerNorm(nn.Module):
    """`torch.nn.LayerNorm` (biased variance, ε = 1e-5) with a scale and shift for each seed."""

    def __init__(self, replicates: int, units: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(replicates, 1, units, dtype=torch.float64))
        self.shift = nn.Parameter(torch.zeros(replicates, 1, units, dtype=torch.float64))

    def forward(
        self, a: Float64[Tensor, "seed sample unit"]
    ) -> Float64[Tensor, "seed sample unit"]:
        return functional.layer_norm(a, a.shape[-1:]) * self.scale + self.shift


def build(hidden: Linear, output: Linear, *, seeds: Sequence[int], inputs: Tensor) -> Network:
    """Scale 1 and shift 0 to start with."""
    return Network(hidden, output, LayerNorm(len(seeds), hidden.weight.shape[-1]))
