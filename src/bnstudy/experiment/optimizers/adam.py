"""Adam with PyTorch's defaults, as in the article. Source: Kingma & Ba 2015.

The summed loss's gradient is taken as it is: but for ε, its size does not matter.
"""

import math
from typing import no_type_check

import numba
import torch
from jaxtyping import Float64
from torch import Tensor
from torch.optim.adam import adam as torch_adam

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def init(parameters: Float64[Tensor, "seed parameter"]) -> dict[str, Tensor]:
    """As in `torch.optim.Adam`: step (a scalar), exp_avg and exp_avg_sq, like the parameters."""
    return {
        "step": torch.zeros((), device=parameters.device),
        "exp_avg": torch.zeros_like(parameters),
        "exp_avg_sq": torch.zeros_like(parameters),
    }


def step(
    parameters: Float64[Tensor, "seed parameter"],
    gradients: Float64[Tensor, "seed parameter"],
    state: dict[str, Tensor],
    *,
    learning_rate: float,
    samples: int,
) -> None:
    """One step, in place; on a GPU PyTorch's own, which a CUDA graph can record."""
    if parameters.is_cuda:
        torch_adam(
            [parameters],
            [gradients],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [],
            [state["step"]],
            capturable=True,
            fused=True,
            amsgrad=False,
            beta1=BETA1,
            beta2=BETA2,
            lr=learning_rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )
        return
    step = state["step"].numpy()
    step += 1
    count = float(step)
    tensors = parameters, gradients, state["exp_avg"], state["exp_avg_sq"]
    arrays = [tensor.numpy() for tensor in tensors]
    _adam(*arrays, learning_rate / (1 - BETA1**count), math.sqrt(1 - BETA2**count))


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _adam(values, gradients, means, squares, rate, correction):
    """Without reassociation, so that no element's rounding depends on its place: results must not
    depend on how seeds are cut into blocks."""
    for s in range(len(values)):
        value, gradient, mean, square = values[s], gradients[s], means[s], squares[s]
        for i in range(value.size):
            g = gradient[i]
            mean[i] += (1 - BETA1) * (g - mean[i])
            square[i] = BETA2 * square[i] + (1 - BETA2) * g * g
            value[i] -= rate * mean[i] / (math.sqrt(square[i]) / correction + EPSILON)
