"""`torch.func`: one model as a pure function, its gradient, and vmap over the replicates."""

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value, vmap
from torch.nn.functional import layer_norm

from benchmarks.problem import BATCH_NORM, LEARNING_RATE, Run, per_sample, tensors_of, weights_of

Parameters = dict[str, Tensor]
Running = tuple[Tensor, Tensor]  # running mean and standard deviation


def start(arm: str, width: int, replicates: int) -> tuple[Parameters, Running]:
    """Initial parameters and running values, replicates on the leading axis."""
    weights = weights_of(width, replicates)
    parameters = dict(zip(("W1", "b1", "W2", "b2"), weights, strict=True))
    zeros = torch.zeros((replicates, 1, width), dtype=torch.float64)
    if arm == "batch":
        parameters |= {"scale": zeros + 1, "shift": zeros.clone()}
    if arm == "layer-norm":
        parameters |= {"gain": zeros + 1, "offset": zeros.clone()}
    return parameters, (zeros.clone(), zeros + 1)


def train_loss(p: Parameters, running: Running, x: Tensor, t: Tensor) -> tuple[Tensor, Running]:
    """One model's summed squared error on a batch (n, 3), and the new running values."""
    a = x @ p["W1"] + p["b1"]
    if "scale" in p:
        mean = a.mean(0, keepdim=True)
        variance = a.var(0, correction=BATCH_NORM["correction"], keepdim=True)
        std = (variance + BATCH_NORM["epsilon"]).sqrt()
        keep = BATCH_NORM["momentum"]
        running = tuple(
            keep * old + (1 - keep) * new.detach()
            for old, new in zip(running, (mean, std), strict=True)
        )
        a = (a - mean) * (p["scale"] / std) + p["shift"]
    return _error(p, a, t), running


def test_loss(p: Parameters, running: Running, x: Tensor, t: Tensor) -> Tensor:
    """One model's summed squared error in evaluation mode."""
    a = x @ p["W1"] + p["b1"]
    if "scale" in p:
        mean, std = running
        a = (a - mean) * (p["scale"] / std) + p["shift"]
    return _error(p, a, t)


def _error(p: Parameters, a: Tensor, t: Tensor) -> Tensor:
    if "gain" in p:
        a = layer_norm(a, a.shape[-1:]) * p["gain"] + p["offset"]
    return (torch.tanh(a) @ p["W2"] + p["b2"] - t).square().sum()


def prepare(arm: str, width: int, replicates: int) -> Run:
    """vmap of the gradient and of the test loss; PyTorch's Adam on the stacked parameters."""
    x, t, test_x, test_t = tensors_of(range(replicates))
    parameters, running = start(arm, width, replicates)
    gradients_of = vmap(grad_and_value(train_loss, has_aux=True))
    test_losses_of = vmap(test_loss)
    optimizer = torch.optim.Adam(list(parameters.values()), lr=LEARNING_RATE)

    @torch.no_grad()
    def run(epochs: int) -> np.ndarray:
        nonlocal running
        losses = torch.empty((2, epochs, replicates), dtype=torch.float64)
        for epoch in range(epochs):
            gradients, (losses[0, epoch], running) = gradients_of(parameters, running, x, t)
            for name, parameter in parameters.items():
                parameter.grad = gradients[name]
            optimizer.step()
            losses[1, epoch] = test_losses_of(parameters, running, test_x, test_t)
        return per_sample(losses[0].T, losses[1].T)

    return run
