"""BN, but started from the initial function of the network without it.

Scale = σ_B, shift = μ_B, and running values that agree with them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bnstudy.experiment.layers import BatchNorm, Linear, Moments, Network, Settings, spread

LABEL = "BN, start of none"
COLOUR = "#E69F00"
MARKER = "^"
LINE = "--"
USES = ("batch_norm",)


@torch.no_grad()
def build(
    hidden: Linear, output: Linear, *, seeds: Sequence[int], inputs: Tensor, batch_norm: Settings
) -> Network:
    """μ_B and σ_B are those of the whole training set."""
    norm = BatchNorm(len(seeds), hidden.weight.shape[-1], **batch_norm)
    moments = Moments.of(inputs, norm.correction)
    mean = moments.mean @ hidden.weight + hidden.bias
    std = spread(hidden.affine(), moments, norm.epsilon)
    norm.scale.copy_(std)
    norm.shift.copy_(mean)
    norm.running_mean.copy_(mean)
    norm.running_std.copy_(std)
    return Network(hidden, output, norm)
