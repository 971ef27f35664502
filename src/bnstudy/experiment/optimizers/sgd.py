"""Stochastic gradient descent with momentum, as `torch.optim.SGD`, on the loss per sample."""

import torch
from jaxtyping import Float64
from torch import Tensor

SETTINGS = {
    "momentum": {"default": 0.9, "ge": 0, "lt": 1, "description": "share of the last step kept"}
}


def init(parameters: Float64[Tensor, "seed parameter"], *, momentum: float) -> dict[str, Tensor]:
    """The momentum, 0 to start with."""
    return {"momentum": torch.zeros_like(parameters)}


def step(
    parameters: Float64[Tensor, "seed parameter"],
    gradients: Float64[Tensor, "seed parameter"],
    state: dict[str, Tensor],
    *,
    learning_rate: float,
    samples: int,
    momentum: float,
) -> None:
    """One step, in place. Products and sums apart: where the processor does both in one, the
    rounding of an element may depend on its place, and so on the block."""
    state["momentum"].mul_(momentum).add_(gradients / samples)
    parameters.sub_(learning_rate * state["momentum"])
