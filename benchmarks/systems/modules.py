"""Idiomatic PyTorch: its own layers, tensors in memory, one model after another.

`nn.BatchNorm1d` is not the article's BN: it normalises with divisor n, where the article has n - 1,
and averages variances, where the article averages standard deviations. So with BN its curves differ
from the other systems' by some 1e-3; without BN they are the same.
"""

import numpy as np
import torch
from torch import nn

from benchmarks.problem import (
    BATCH_NORM,
    LEARNING_RATE,
    Run,
    one_after_another,
    per_sample,
    tensors_of,
)
from bnstudy.experiment.layers import initial_weights


def train_one(arm: str, width: int, seed: int) -> Run:
    """One model's training."""
    x, t, test_x, test_t = (tensor[0] for tensor in tensors_of([seed]))
    layers = [nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 3)]
    if arm == "batch":
        momentum = 1 - BATCH_NORM["momentum"]  # in PyTorch it weighs the new value
        layers.insert(1, nn.BatchNorm1d(width, eps=BATCH_NORM["epsilon"], momentum=momentum))
    if arm == "layer-norm":
        layers.insert(1, nn.LayerNorm(width))
    model = nn.Sequential(*layers).double()
    weights = initial_weights(seed, width)
    with torch.no_grad():
        for layer, name in ((model[0], "hidden"), (model[-1], "output")):
            layer.weight.copy_(weights[f"{name}.weight"].T)
            layer.bias.copy_(weights[f"{name}.bias"][0])
    loss_function = nn.MSELoss(reduction="sum")
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    def run(epochs: int) -> np.ndarray:
        losses = np.empty((2, 1, epochs))
        for epoch in range(epochs):
            model.train()
            optimizer.zero_grad()
            loss = loss_function(model(x), t)
            loss.backward()
            optimizer.step()
            model.eval()
            with torch.no_grad():
                test_loss = loss_function(model(test_x), test_t)
            losses[:, 0, epoch] = loss.item(), test_loss.item()
        return per_sample(*losses)

    return run


prepare = one_after_another(train_one)
