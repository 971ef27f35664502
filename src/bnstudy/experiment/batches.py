"""Batches of samples, as the compiled kernels take them and as tensors; their order in an epoch."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from bnstudy import kernels

Samples = Float64[Tensor, "seed 6 ..."]  # inputs and targets, see `lay_out`


def lay_out(
    inputs: Float64[Tensor, "seed sample 3"], targets: Float64[Tensor, "seed sample 3"]
) -> Samples:
    """Inputs and targets with the samples on the last axis, and room behind them for whole vectors.

    What is in that room counts for nothing."""
    n = inputs.shape[1]
    samples = inputs.new_zeros(len(inputs), 6, -(-n // kernels.SUMS) * kernels.SUMS + kernels.SUMS)
    samples[:, :3, :n], samples[:, 3:, :n] = inputs.mT, targets.mT
    return samples


class Batch:
    """The samples from `start` to `stop` of R replicates. `fixed`: they stay what they are."""

    def __init__(self, samples: Samples, start: int, stop: int, fixed: bool = True):
        self.samples, self.start, self.stop, self.fixed = samples, start, stop, fixed
        self.inputs = samples[:, :3, start:stop].mT
        self.targets = samples[:, 3:, start:stop].mT
        self._moments: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    def split(self, size: int) -> list["Batch"]:
        """The same of `size` replicates after `size` replicates."""
        parts = self.samples.split(size)
        return [Batch(part, self.start, self.stop, self.fixed) for part in parts]

    def moments(self, correction: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean (R, 3) and covariance (R, 3, 3) of the inputs, with divisor n - correction."""
        if self._moments is None or not self.fixed:
            place = self.samples.numpy(), self.start, self.stop
            self._moments = kernels.moments(*place, correction)
        return self._moments


class Batches:
    """An epoch's batches: the training data as they are, or in a fresh order in smaller ones.

    `source`: see `lay_out`; `count` of its samples are data. One generator for each replicate,
    seeded by its own seed, so that no order depends on which replicates are trained together. A
    last batch that is smaller is used as well.
    """

    def __init__(self, source: Tensor, count: int, size: int | str, seeds: Sequence[int]):
        self.source, self.count = source, count
        self.shuffled = isinstance(size, int)
        self.samples = source.clone() if self.shuffled else source
        step = size if isinstance(size, int) else count
        self.batches = [
            Batch(self.samples, start, min(start + step, count), fixed=not self.shuffled)
            for start in range(0, count, step)
        ]
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def shuffle(self) -> None:
        """Put the samples into another order, where they are to be shuffled."""
        if self.shuffled:
            orders = torch.stack([torch.randperm(self.count, generator=g) for g in self.generators])
            if self.source.is_cuda:
                index = orders.to(self.source.device)[:, None].expand(-1, 6, -1)
                self.samples[:, :, : self.count] = self.source.gather(2, index)
            else:
                kernels.shuffle(self.source.numpy(), orders.numpy(), self.samples.numpy())
