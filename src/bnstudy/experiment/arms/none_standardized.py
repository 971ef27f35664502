"""No BN layer, but the initial function of the network with one: W ← W/σ_B, b ← -x̄W/σ_B."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bnstudy.experiment.layers import BatchNorm, Linear, Moments, Network, Settings

LABEL = "no BN, start of BN"
COLOUR = "#56B4E9"
MARKER = "D"
LINE = ":"
USES = ("batch_norm",)


@torch.no_grad()
def build(
    hidden: Linear, output: Linear, *, seeds: Sequence[int], inputs: Tensor, batch_norm: Settings
) -> Network:
    """σ_B and x̄ are those of the whole training set."""
    norm = BatchNorm(len(seeds), hidden.weight.shape[-1], **batch_norm)
    moments = Moments.of(inputs, norm.correction)
    return Network(Linear(*norm.affine(hidden.affine(), moments)), output)
