"""JAX: one model as a pure function, scan over epochs, lax.map over replicates, jit.

Chosen by a trial of three forms on a busy machine, best of 3, 10 replicates: vmap over the
replicates was about as fast at width 10 and about twice as slow at 100 to 1000; one call per
replicate was slower by a fifth to a half. With one replicate the three differ by less than the
noise.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.problem import BATCH_NORM, LEARNING_RATE, Run, per_sample, tensors_of, weights_of

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's, as PyTorch has them


def prepare(arm: str, width: int, replicates: int, *, fold: bool = False) -> Run:
    """`fold`: BN folded into the hidden layer by the inputs' moments, as this project does.

    A number of epochs is compiled when it is asked for first.
    """
    data = tuple(jnp.asarray(tensor.numpy()) for tensor in tensors_of(range(replicates)))
    state = _start(arm, width, replicates)
    loss = _folded_loss if fold and arm == "batch" else _train_loss

    @partial(jax.jit, static_argnums=2)
    def train(state, data, epochs):
        def train_one(one):
            state, data = one
            return jax.lax.scan(lambda s, _: _epoch(loss, s, data), state, length=epochs)

        return jax.lax.map(train_one, (state, data))

    def run(epochs: int) -> np.ndarray:
        nonlocal state
        state, losses = train(state, data, epochs)
        return per_sample(*losses)

    return run


def _start(arm: str, width: int, replicates: int):
    """Parameters, running values, Adam's moments and step; replicates on the leading axis."""
    weights = [jnp.asarray(tensor.numpy()) for tensor in weights_of(width, replicates)]
    parameters = dict(zip(("W1", "b1", "W2", "b2"), weights, strict=True))
    zeros = jnp.zeros((replicates, 1, width))
    if arm == "batch":
        parameters |= {"scale": zeros + 1, "shift": zeros}
    moments = jax.tree.map(jnp.zeros_like, parameters)
    return parameters, (zeros, zeros + 1), moments, moments, jnp.zeros(replicates)


def _epoch(train_loss, state, data):
    """One model's train step and test: its new state and both losses."""
    parameters, running, first, second, step = state
    x, t, test_x, test_t = data
    gradients_of = jax.value_and_grad(train_loss, has_aux=True)
    (loss, running), gradients = gradients_of(parameters, running, x, t)
    step = step + 1
    first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradients)
    second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, gradients)
    rate, spread = LEARNING_RATE / (1 - BETA1**step), jnp.sqrt(1 - BETA2**step)
    parameters = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) / spread + EPSILON), parameters, first, second
    )
    test = _test_loss(parameters, running, test_x, test_t)
    return (parameters, running, first, second, step), (loss, test)


def _train_loss(p, running, x, t):
    """Summed squared error on a batch (n, 3), and the new running values."""
    a = x @ p["W1"] + p["b1"]
    if "scale" in p:
        mean, variance = a.mean(0, keepdims=True), _variance(a)
        std = jnp.sqrt(variance + BATCH_NORM["epsilon"])
        running = _track(running, mean, std)
        a = (a - mean) * (p["scale"] / std) + p["shift"]
    return _error(p, a, t), running


def _folded_loss(p, running, x, t):
    """`_train_loss` with BN by the inputs' moments, as in bnstudy.experiment.layers.BatchNorm."""
    centred = x - x.mean(0, keepdims=True)
    covariance = centred.T @ centred / (len(x) - BATCH_NORM["correction"])
    mean = x.mean(0, keepdims=True) @ p["W1"]
    variance = (p["W1"] * (covariance @ p["W1"])).sum(0, keepdims=True)
    std = jnp.sqrt(variance + BATCH_NORM["epsilon"])
    gain = p["scale"] / std
    a = x @ (p["W1"] * gain) + (p["shift"] - mean * gain)
    return _error(p, a, t), _track(running, mean + p["b1"], std)


def _test_loss(p, running, x, t):
    """Summed squared error in evaluation mode."""
    a = x @ p["W1"] + p["b1"]
    if "scale" in p:
        mean, std = running
        a = (a - mean) * (p["scale"] / std) + p["shift"]
    return _error(p, a, t)


def _variance(a):
    return a.var(0, ddof=BATCH_NORM["correction"], keepdims=True)


def _track(running, mean, std):
    keep = BATCH_NORM["momentum"]
    return tuple(keep * o + (1 - keep) * n for o, n in zip(running, (mean, std), strict=True))


def _error(p, a, t):
    return ((jnp.tanh(a) @ p["W2"] + p["b2"] - t) ** 2).sum()
