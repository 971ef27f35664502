"""BN whose statistics are those of the whole training set in the last part of the steps.

From then on it is a fixed affine map with a trained scale and shift: neither the noise of the
batches' statistics nor a mismatch between training and evaluation is left. Source: Wu & Johnson
2021 ("Rethinking 'batch' in BatchNorm"), section 3: population statistics while training.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from bnstudy.experiment.layers import Affine, BatchNorm, Linear, Moments, Network, Settings, spread

LABEL = "BN, frozen at last"
COLOUR = "#6A3D9A"
MARKER = "h"
LINE = "-."
USES = ("batch_norm", "epochs", "batch_size")
SETTINGS = {
    "share": {
        "default": 0.2,
        "gt": 0,
        "lt": 1,
        "description": "of the steps, the last ones: those with population statistics",
    }
}


class FrozenAtLast(BatchNorm):
    """BN for `moving` steps; then with the training set's statistics as they are at that step.

    `hidden` is the layer before it, `population` the moments of all training inputs.
    """

    done: Tensor
    mean: Tensor
    covariance: Tensor

    def __init__(self, hidden: Linear, population: Moments, moving: int, **settings: Any):
        super().__init__(len(hidden.weight), hidden.weight.shape[-1], **settings)
        self.moving = moving
        self.before = [hidden]  # in a list: not a layer of this one
        self.register_buffer("done", torch.zeros(len(hidden.weight), 1, 1, dtype=torch.float64))
        self.register_buffer("mean", population.mean, persistent=False)
        self.register_buffer("covariance", population.covariance, persistent=False)

    def forward(
        self, a: Float64[Tensor, "seed sample unit"]
    ) -> Float64[Tensor, "seed sample unit"]:
        self._count()
        return super().forward(a)

    def affine(self, before: Affine, moments: Moments | None) -> Affine:
        self._count()
        return super().affine(before, moments)

    @torch.no_grad()
    def _count(self) -> None:
        """A step begins, if in training mode; the first of the last ones takes the statistics."""
        if not self.training:
            return
        self.centre = self.divide = bool(self.done[0] < self.moving)
        if self.moving <= self.done[0] < self.moving + 1:
            [hidden] = self.before
            population = Moments(self.mean, self.covariance)
            self.running_mean.copy_(self.mean @ hidden.weight + hidden.bias)
            self.running_std.copy_(spread(hidden.affine(), population, self.epsilon))
        self.done += 1


def build(
    hidden: Linear,
    output: Linear,
    *,
    seeds: Sequence[int],
    inputs: Tensor,
    batch_norm: Settings,
    epochs: int,
    batch_size: int | str,
    share: float,
) -> Network:
    """Starts as batch."""
    points = inputs.shape[1]
    steps = epochs * (math.ceil(points / batch_size) if isinstance(batch_size, int) else 1)
    population = Moments.of(inputs, batch_norm["correction"])
    moving = steps - round(share * steps)
    return Network(hidden, output, FrozenAtLast(hidden, population, moving, **batch_norm))
