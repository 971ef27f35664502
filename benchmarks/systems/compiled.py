"""`torch.compile`: a whole epoch of the `torch.func` system, Adam and test included, one graph.

Replicates together. One at a time, in a trial on a busy machine, was 12 % faster at width 300; it
would be slower at small widths, where the calls cost most.
"""

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from benchmarks.problem import LEARNING_RATE, Run, per_sample, tensors_of
from benchmarks.systems.functional import start, test_loss, train_loss

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's, as PyTorch has them


def prepare(arm: str, width: int, replicates: int) -> Run:
    """Static shapes: each (arm, width, replicates) is compiled for itself, by the C++ compiler."""
    x, t, test_x, test_t = tensors_of(range(replicates))
    parameters, running = start(arm, width, replicates)
    first = {name: torch.zeros_like(p) for name, p in parameters.items()}
    second = {name: torch.zeros_like(p) for name, p in parameters.items()}
    state = parameters, running, first, second, torch.zeros((), dtype=torch.float64)
    # Each configuration is one entry of the compiler's cache for `epoch`; beyond a limit it would
    # silently run uncompiled.
    torch._dynamo.config.recompile_limit = 1000
    torch._dynamo.config.accumulated_recompile_limit = 1000
    compiled = torch.compile(_epoch, dynamic=False, fullgraph=True)

    @torch.no_grad()
    def run(epochs: int) -> np.ndarray:
        nonlocal state
        losses = torch.empty((2, epochs, replicates), dtype=torch.float64)
        for epoch in range(epochs):
            state, losses[0, epoch], losses[1, epoch] = compiled(state, x, t, test_x, test_t)
        return per_sample(losses[0].T, losses[1].T)

    return run


def _epoch(state: tuple, x: Tensor, t: Tensor, test_x: Tensor, test_t: Tensor):
    """Train step and test; returns the new state and both losses (R,)."""
    parameters, running, first, second, step = state
    gradients_of = vmap(grad_and_value(train_loss, has_aux=True))
    gradients, (loss, running) = gradients_of(parameters, running, x, t)
    step = step + 1
    first = {n: BETA1 * m + (1 - BETA1) * gradients[n] for n, m in first.items()}
    second = {n: BETA2 * v + (1 - BETA2) * gradients[n] ** 2 for n, v in second.items()}
    rate, spread = LEARNING_RATE / (1 - BETA1**step), (1 - BETA2**step).sqrt()
    parameters = {
        n: p - rate * first[n] / (second[n].sqrt() / spread + EPSILON)
        for n, p in parameters.items()
    }
    test = vmap(test_loss)(parameters, running, test_x, test_t)
    return (parameters, running, first, second, step), loss, test
