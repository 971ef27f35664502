"""No BN, but whitened inputs: centred, and turned into ones of covariance 1.

x̃ = (x - x̄) C^(-1/2), with mean and covariance of the training inputs. Source: LeCun et al. 1998
("Efficient BackProp"), section 4.3.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from bnstudy.experiment.layers import Affine, Linear, Moments, Network

LABEL = "inputs whitened"
COLOUR = "#1B9E77"
MARKER = "8"
LINE = "--"


class WhitenedLinear(nn.Module):
    """x ↦ (x - mean) · whiten · W + b; mean (R, 1, inputs) and whiten (R, inputs, inputs) fixed."""

    mean: Tensor
    whiten: Tensor

    def __init__(self, linear: Linear, mean: Tensor, whiten: Tensor):
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.register_buffer("mean", mean)
        self.register_buffer("whiten", whiten)

    def forward(
        self, x: Float64[Tensor, "seed sample input"]
    ) -> Float64[Tensor, "seed sample unit"]:
        return torch.baddbmm(self.bias, (x - self.mean) @ self.whiten, self.weight)

    def affine(self) -> Affine:
        """`forward` as an affine map."""
        weight = self.whiten @ self.weight
        return Affine(weight, self.bias - self.mean @ weight)


def build(hidden: Linear, output: Linear, *, seeds: Sequence[int], inputs: Tensor) -> Network:
    """The drawn weights, on whitened inputs; C^(-1/2) is the symmetric root."""
    mean, covariance = Moments.of(inputs, correction=1)
    roots = []
    for matrix in covariance:  # one by one: see Moments.of
        variances, axes = torch.linalg.eigh(matrix)
        roots.append((axes / variances.sqrt()) @ axes.mT)
    return Network(WhitenedLinear(hidden, mean, torch.stack(roots)), output)
