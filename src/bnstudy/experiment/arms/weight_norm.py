"""Weight normalisation of the hidden layer: length and direction of each unit's weights apart.

Source: Salimans & Kingma 2016; `torch.nn.utils.parametrizations.weight_norm` with dim=0.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from bnstudy.experiment.layers import Affine, Linear, Network

LABEL = "weight norm"
COLOUR = "#44AA99"
MARKER = "X"
LINE = "-."


class WeightNormLinear(nn.Module):
    """x ↦ x W + b with W = gain · v/‖v‖, the norm over the inputs of each unit."""

    def __init__(self, linear: Linear):
        super().__init__()
        self.direction, self.bias = linear.weight, linear.bias
        self.gain = nn.Parameter(_length(linear.weight.detach()))

    def forward(
        self, x: Float64[Tensor, "seed sample input"]
    ) -> Float64[Tensor, "seed sample unit"]:
        weight, bias = self.affine()
        return torch.baddbmm(bias, x, weight)

    def affine(self) -> Affine:
        """`forward` as an affine map."""
        return Affine(self.direction * (self.gain / _length(self.direction)), self.bias)


def _length(weight: Float64[Tensor, "seed input unit"]) -> Float64[Tensor, "seed 1 unit"]:
    return weight.square().sum(1, keepdim=True).sqrt()


def build(hidden: Linear, output: Linear, *, seeds: Sequence[int], inputs: Tensor) -> Network:
    """Starts as none: gain = ‖v‖."""
    return Network(WeightNormLinear(hidden), output)
