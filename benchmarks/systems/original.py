"""The original's loop, re-implemented: the way the article's program trains.

A Dataset that hands out single samples, a DataLoader that fetches and stacks them anew each epoch,
layers written on explicit tensors, one model after another.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.problem import (
    BATCH_NORM,
    LEARNING_RATE,
    Run,
    one_after_another,
    per_sample,
    tensors_of,
)
from bnstudy.experiment.layers import initial_weights


class Points(Dataset):
    """Inputs and targets (n, 3), a sample at a time."""

    def __init__(self, inputs: Tensor, targets: Tensor):
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]


class Linear(nn.Module):
    """x ↦ x W + b."""

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(x, self.weight) + self.bias


class BatchNorm(nn.Module):
    """The article's BN: see bnstudy.experiment.layers.BatchNorm."""

    def __init__(self, width: int, momentum: float, epsilon: float, correction: int):
        super().__init__()
        self.momentum, self.epsilon, self.correction = momentum, epsilon, correction
        self.scale = nn.Parameter(torch.ones((1, width), dtype=torch.float64))
        self.shift = nn.Parameter(torch.zeros((1, width), dtype=torch.float64))
        self.running_mean = torch.zeros((1, width), dtype=torch.float64)
        self.running_std = torch.ones((1, width), dtype=torch.float64)

    def forward(self, a: Tensor) -> Tensor:
        if self.training:
            mean = torch.mean(a, dim=0, keepdim=True)
            variance = torch.var(a, dim=0, keepdim=True, correction=self.correction)
            std = torch.sqrt(variance + self.epsilon)
            keep = self.momentum
            self.running_mean = keep * self.running_mean + (1 - keep) * mean.detach()
            self.running_std = keep * self.running_std + (1 - keep) * std.detach()
        else:
            mean, std = self.running_mean, self.running_std
        return self.scale * (a - mean) / std + self.shift


class Model(nn.Module):
    """3 -> width -> 3 with tanh, with or without BN before it."""

    def __init__(self, arm: str, width: int, seed: int):
        super().__init__()
        weights = list(initial_weights(seed, width).values())
        self.hidden = Linear(*weights[:2])
        self.norm = BatchNorm(width, **BATCH_NORM) if arm == "batch" else nn.Identity()
        self.output = Linear(*weights[2:])

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.tanh(self.norm(self.hidden(x))))


def train_one(arm: str, width: int, seed: int) -> Run:
    """One model's training."""
    x, t, test_x, test_t = (tensor[0] for tensor in tensors_of([seed]))
    train_loader = DataLoader(Points(x, t), batch_size=len(x), shuffle=False)
    test_loader = DataLoader(Points(test_x, test_t), batch_size=len(test_x), shuffle=False)
    model = Model(arm, width, seed)
    loss_function = nn.MSELoss(reduction="sum")
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    def train() -> float:
        model.train()
        total = 0.0
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            loss = loss_function(model(inputs), targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total

    def test() -> float:
        model.eval()
        total = 0.0
        with torch.no_grad():
            for inputs, targets in test_loader:
                total += loss_function(model(inputs), targets).item()
        return total

    def run(epochs: int) -> np.ndarray:
        losses = [(train(), test()) for _ in range(epochs)]
        return per_sample(*([column] for column in zip(*losses, strict=True)))

    return run


prepare = one_after_another(train_one)
