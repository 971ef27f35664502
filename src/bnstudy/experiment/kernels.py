"""The fast path on CPUs: hidden layer, loss and gradients in one pass over the samples, and what
stands around that pass (BN's fold, Adam's step) in one call each.

For a batch x (n, 3) with targets t, an affine map (A, a) before the activation and an output layer
(V, c), one replicate's loss and its gradients are

    h = tanh(x A + a),   e = h V + c - t,   L = Σ e²,
    ∂L/∂V = 2 hᵀe,   ∂L/∂c = 2 Σ e,   δ = 2 (e Vᵀ)(1 - h²),   ∂L/∂A = xᵀδ,   ∂L/∂a = Σ δ.

Written in PyTorch, every symbol is an n × width array that goes through memory several times. Here
the samples are taken in blocks small enough that a block's h stays in the cache between the
forward and the backward half, and nothing is allocated. Samples lie on the last axis, so that the
compiler turns the inner loops into vector instructions.

BN's fold, its way back and Adam's step work on O(width) numbers, where PyTorch's cost is that of
its calls: some dozens an epoch, more than the pass itself at small widths. So each is one compiled
call as well, on views of the network's own memory.

A replicate's arithmetic does not depend on how many replicates there are, nor on its place among
them: results are bit-identical however the seeds are cut into jobs.
"""

import math
from collections.abc import Sequence
from functools import partial

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import float64, int64
from numba.extending import intrinsic
from torch import Tensor

from bnstudy.networks import Affine, BatchNorm, Linear, Moments, Network

BLOCK_SAMPLES = 128  # more gain nothing
BLOCK_BYTES = 1024**2  # what a block's h may take of the cache

# Reordering sums lets the compiler vectorise the reductions. NaN and infinity keep their meaning.
_REASSOCIATE = {"reassoc", "contract", "nsz"}


@intrinsic
def _bits(typingctx, value):
    """The 64 bits of a float, as an integer."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return int64(float64), generate


@intrinsic
def _from_bits(typingctx, value):
    """The float with these 64 bits."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return float64(int64), generate


_ROUND = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits of the sum
_EXPONENT_OF_ONE = 1023 << 52
_LN2 = math.log(2)
_PER_TANH = 2 / _LN2  # tanh(z) from 2^u with u = 2z / ln 2
# f · coth(f ln2 / 2) = Q0 + Q1 f² + … for |f| ≤ 1/2, to 2^-59: fdlibm's minimax polynomial for
# r · coth(r / 2) (e_exp.c, Sun Microsystems 1993), with r = f ln 2
_FDLIBM = (
    1.66666666666666019037e-01, -2.77777777770155933842e-03, 6.61375632143793436117e-05,
    -1.65339022054652515390e-06, 4.13813679705723846039e-08,
)  # fmt: skip
_Q0 = 2 / _LN2
_Q1, _Q2, _Q3, _Q4, _Q5 = (p * _LN2 ** (2 * k + 1) for k, p in enumerate(_FDLIBM))


@numba.njit(fastmath={"contract"}, error_model="numpy")
def _tanh(u):
    """tanh(u ln2 / 2) = (2^u - 1) / (2^u + 1), with an absolute error below 3e-16.

    2^u = 2^k · (q + f) / (q - f) with k = round(u), f = u - k and q = f · coth(f ln2 / 2): one
    polynomial and one division for all. Straight-line code, so that it vectorises, unlike a call of
    the C library (`error_model`: a check for division by zero would stop that). A function of its
    own, because the reassociation that sums allow would undo the rounding of k.
    """
    u = min(max(u, -64.0), 64.0)  # tanh is ±1 to the last bit long before; NaN stays NaN
    shifted = u + _ROUND
    f = u - (shifted - _ROUND)
    f2 = f * f
    f4 = f2 * f2
    q = (_Q0 + _Q1 * f2) + ((_Q2 + _Q3 * f2) + (_Q4 + _Q5 * f2) * f4) * f4
    low = q - f
    high = _from_bits((_bits(shifted) << 52) + _EXPONENT_OF_ONE) * (q + f)
    return (high - low) / (high + low)


@numba.njit(fastmath={"contract"}, error_model="numpy")
def _activate(x, A, a, h, m):
    """h = tanh(x A + a) for the m samples of x."""
    for j in range(h.shape[0]):
        A0, A1, A2 = _PER_TANH * A[0, j], _PER_TANH * A[1, j], _PER_TANH * A[2, j]
        bias = _PER_TANH * a[j]
        for i in range(m):
            h[j, i] = x[0, i] * A0 + x[1, i] * A1 + x[2, i] * A2 + bias
        for i in range(m):  # a loop of its own: more registers for the polynomial
            h[j, i] = _tanh(h[j, i])


@numba.njit(fastmath=_REASSOCIATE)
def _add_outputs(V, h, e, m):
    """e ← 2 (e + h V) for m samples; returns Σ (e + h V)².

    Four units at a time, which saves memory traffic. The factor is that of the gradients.
    """
    fours = h.shape[0] // 4 * 4
    for k in range(3):
        for j in range(0, fours, 4):
            V0, V1, V2, V3 = V[j, k], V[j + 1, k], V[j + 2, k], V[j + 3, k]
            for i in range(m):
                e[k, i] += h[j, i] * V0 + h[j + 1, i] * V1 + h[j + 2, i] * V2 + h[j + 3, i] * V3
        for j in range(fours, h.shape[0]):
            for i in range(m):
                e[k, i] += h[j, i] * V[j, k]
    loss = 0.0
    for i in range(m):
        loss += e[0, i] * e[0, i] + e[1, i] * e[1, i] + e[2, i] * e[2, i]
    for k in range(3):
        for i in range(m):
            e[k, i] *= 2.0
    return loss


@numba.njit(fastmath=_REASSOCIATE)
def _backward(x, V, h, e, m, gA, ga, gV, gc):
    """Add the m samples' share of ∂L to gA, ga, gV, gc; e holds twice the residuals."""
    for j in range(h.shape[0]):
        V0, V1, V2 = V[j, 0], V[j, 1], V[j, 2]
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = 0.0
        for i in range(m):
            value, e0, e1, e2 = h[j, i], e[0, i], e[1, i], e[2, i]
            delta = (e0 * V0 + e1 * V1 + e2 * V2) * (1.0 - value * value)
            s0 += delta * x[0, i]
            s1 += delta * x[1, i]
            s2 += delta * x[2, i]
            s3 += delta
            s4 += value * e0
            s5 += value * e1
            s6 += value * e2
        gA[0, j] += s0
        gA[1, j] += s1
        gA[2, j] += s2
        ga[j] += s3
        gV[j, 0] += s4
        gV[j, 1] += s5
        gV[j, 2] += s6
    for k in range(3):
        total = 0.0
        for i in range(m):
            total += e[k, i]
        gc[k] += total


@numba.njit(cache=True, nogil=True)
def _squared_error(x, t, A, a, V, c, xb, h, e, losses, with_gradients, gA, ga, gV, gc):
    """Losses (R,) and, if asked for, gradients of R replicates, shaped as what they belong to.

    x, t: (R, 3, n). Workspace for one block of samples: xb, e (3, block) and h (width, block).
    """
    size = h.shape[1]
    for s in range(x.shape[0]):
        losses[s] = 0.0
        if with_gradients:
            gA[s], ga[s] = 0.0, 0.0
            gV[s], gc[s] = 0.0, 0.0
        for start in range(0, x.shape[2], size):
            m = min(size, x.shape[2] - start)
            for k in range(3):
                for i in range(m):
                    xb[k, i] = x[s, k, start + i]
                    e[k, i] = c[s, k] - t[s, k, start + i]
            _activate(xb, A[s], a[s], h, m)
            losses[s] += _add_outputs(V[s], h, e, m)
            if with_gradients:
                _backward(xb, V[s], h, e, m, gA[s], ga[s], gV[s], gc[s])


class Batch:
    """Inputs and targets (R, n, 3) of R replicates, laid out for the kernel, with its workspace."""

    def __init__(self, inputs: Tensor, targets: Tensor, width: int):
        self.inputs = np.ascontiguousarray(inputs.mT.numpy())
        self.targets = np.ascontiguousarray(targets.mT.numpy())
        size = max(8, min(BLOCK_SAMPLES, BLOCK_BYTES // (8 * width) // 8 * 8))
        self.workspace = np.empty((3, size)), np.empty((width, size)), np.empty((3, size))

    def losses(
        self, parameters: Sequence[np.ndarray], gradients: Sequence[np.ndarray] | None = None
    ) -> Tensor:
        """Σ (tanh(x A + a) V + c - t)² over samples and outputs, a replicate each: (R,).

        `parameters`: A (R, 3, width), a (R, width), V (R, width, 3), c (R, 3). Their gradients go
        to `gradients`, if given.
        """
        losses = torch.empty(len(self.inputs), dtype=torch.float64)
        wanted = gradients is not None
        _squared_error(
            self.inputs, self.targets, *parameters, *self.workspace, losses.numpy(),
            wanted, *(gradients if wanted else parameters),
        )  # fmt: skip
        return losses


class _SquaredError(torch.autograd.Function):
    """`Batch.losses` with gradients for A, a (R, 1, width), V and c (R, 1, 3)."""

    @staticmethod
    def forward(ctx, A, a, V, c, batch):
        parameters = [tensor.contiguous() for tensor in (A, a, V, c)]
        if not any(ctx.needs_input_grad):
            return batch.losses(_arrays(*parameters))
        gradients = [torch.empty_like(tensor) for tensor in parameters]
        ctx.save_for_backward(*gradients)
        return batch.losses(_arrays(*parameters), _arrays(*gradients))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        return *(upstream[:, None, None] * gradient for gradient in ctx.saved_tensors), None


def squared_error(batch: Batch, hidden: Affine, output: Linear) -> Tensor:
    """`batch.losses` of an affine map before the activation and an output layer, for autograd."""
    return _SquaredError.apply(*hidden, output.weight, output.bias, batch)


def _arrays(A: Tensor, a: Tensor, V: Tensor, c: Tensor) -> list[np.ndarray]:
    """Views of parameters, or of their gradients, as the kernel takes them."""
    return [_array(A), _row(a), _array(V), _row(c)]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def _row(tensor: Tensor) -> np.ndarray:
    """Without the axis over samples, (R, 1, features) to (R, features)."""
    return _array(tensor)[:, 0]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fold(W, b, scale, shift, momentum, epsilon, running_mean, running_std, A, a, p, std, mean, C):
    """BatchNorm.fold in training mode for R replicates; fills A, a, p (x̄W) and std (σ), and moves
    the running values. mean (R, 3); C (R, 3, 3); W, A (R, 3, width); all others (R, width)."""
    for s in range(W.shape[0]):
        for j in range(W.shape[2]):
            w0, w1, w2 = W[s, 0, j], W[s, 1, j], W[s, 2, j]
            p[s, j] = mean[s, 0] * w0 + mean[s, 1] * w1 + mean[s, 2] * w2
            variance = (
                w0 * (C[s, 0, 0] * w0 + C[s, 0, 1] * w1 + C[s, 0, 2] * w2)
                + w1 * (C[s, 1, 0] * w0 + C[s, 1, 1] * w1 + C[s, 1, 2] * w2)
                + w2 * (C[s, 2, 0] * w0 + C[s, 2, 1] * w1 + C[s, 2, 2] * w2)
            )
            std[s, j] = math.sqrt(variance + epsilon)
            gain = scale[s, j] / std[s, j]
            A[s, 0, j], A[s, 1, j], A[s, 2, j] = w0 * gain, w1 * gain, w2 * gain
            a[s, j] = shift[s, j] - p[s, j] * gain
            new = 1 - momentum
            running_mean[s, j] = momentum * running_mean[s, j] + new * (p[s, j] + b[s, j])
            running_std[s, j] = momentum * running_std[s, j] + new * std[s, j]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fold_backward(W, scale, p, std, gA, ga, gW, gscale, gshift, mean, C):
    """From ∂A, ∂a to ∂W, ∂scale, ∂shift, shaped as what they belong to.

    With g = scale/σ, A = W g, a = shift - p g, σ² = diag(WᵀCW) + ε (all per unit):
    ∂g = Σ_l ∂A_l W_l - p ∂a,   ∂σ = -∂g g/σ,   ∂W = g (∂A - x̄ ∂a) + (∂σ/σ) C W.
    """
    for s in range(W.shape[0]):
        for j in range(W.shape[2]):
            w0, w1, w2 = W[s, 0, j], W[s, 1, j], W[s, 2, j]
            g0, g1, g2 = gA[s, 0, j], gA[s, 1, j], gA[s, 2, j]
            gain = scale[s, j] / std[s, j]
            ggain = g0 * w0 + g1 * w1 + g2 * w2 - p[s, j] * ga[s, j]
            along = -ggain * gain / (std[s, j] * std[s, j])
            for k in range(3):
                cw = C[s, k, 0] * w0 + C[s, k, 1] * w1 + C[s, k, 2] * w2
                gW[s, k, j] = gain * (gA[s, k, j] - mean[s, k] * ga[s, j]) + along * cw
            gscale[s, j] = ggain / std[s, j]
            gshift[s, j] = ga[s, j]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fold_running(W, b, scale, shift, running_mean, running_std, A, a):
    """BatchNorm.fold in evaluation mode for R replicates; fills A and a."""
    for s in range(W.shape[0]):
        for j in range(W.shape[2]):
            gain = scale[s, j] / running_std[s, j]
            for k in range(3):
                A[s, k, j] = W[s, k, j] * gain
            a[s, j] = shift[s, j] + (b[s, j] - running_mean[s, j]) * gain


def supports(network: Network) -> bool:
    """Whether `Network`'s layers are those that this module folds; a variant folds by itself."""
    return network.norm is None or type(network.norm) is BatchNorm


class FastNetwork:
    """A network's losses and gradients without autograd, on views of its own memory.

    Gradients are written to the `.grad` of its parameters, which must be there (see
    `training.flatten`) and stay in place.
    """

    def __init__(self, network: Network):
        hidden, norm, output = network.hidden, network.norm, network.output
        parameters = hidden.weight, hidden.bias, output.weight, output.bias
        self.norm = norm
        self.parameters = _arrays(*parameters)
        self.gradients = _arrays(*map(_gradient, parameters))
        if norm is None:
            return
        W, b, *_ = self.parameters
        gW, *_ = self.gradients
        scale, shift = _row(norm.scale), _row(norm.shift)
        gscale, gshift = _row(_gradient(norm.scale)), _row(_gradient(norm.shift))
        running = _row(norm.running_mean), _row(norm.running_std)
        constants = norm.momentum, norm.epsilon
        A, a, p, std = (np.empty_like(x) for x in (W, b, b, b))
        gA, ga = np.empty_like(W), np.empty_like(b)
        self.parameters[:2], self.gradients[:2] = (A, a), (gA, ga)
        self.fold = partial(_fold, W, b, scale, shift, *constants, *running, A, a, p, std)
        self.fold_running = partial(_fold_running, W, b, scale, shift, *running, A, a)
        self.fold_backward = partial(_fold_backward, W, scale, p, std, gA, ga, gW, gscale, gshift)

    def train(self, batch: Batch, moments: Moments | None) -> Tensor:
        """Losses (R,) on `batch`, whose inputs have these `moments`; leaves their gradients, and
        moves BN's running values. The bias before BN cancels: its gradient stays 0."""
        if self.norm is None:
            return batch.losses(self.parameters, self.gradients)
        mean, covariance = _row(moments.mean), _array(moments.covariance)
        self.fold(mean, covariance)
        losses = batch.losses(self.parameters, self.gradients)
        self.fold_backward(mean, covariance)
        return losses

    def test(self, batch: Batch) -> Tensor:
        """Losses (R,) on `batch` in evaluation mode."""
        if self.norm is not None:
            self.fold_running()
        return batch.losses(self.parameters)


def _gradient(parameter: Tensor) -> Tensor:
    """Its gradient; for a parameter that is not trained, a place that nobody reads."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _adam(value, gradient, mean, square, beta1, beta2, rate, correction, epsilon):
    """Adam's step on flat arrays. Without reassociation, so that no element's rounding depends on
    its place: results must not depend on how seeds are cut into blocks."""
    for i in range(value.size):
        g = gradient[i]
        mean[i] += (1 - beta1) * (g - mean[i])
        square[i] = beta2 * square[i] + (1 - beta2) * g * g
        value[i] -= rate * mean[i] / (math.sqrt(square[i]) / correction + epsilon)


class Adam:
    """`torch.optim.Adam` with its defaults for one flat parameter (Kingma & Ba 2015).

    `state`: step (a scalar), exp_avg and exp_avg_sq (shaped as the parameter), as there.
    """

    BETAS, EPSILON = (0.9, 0.999), 1e-8

    def __init__(self, parameter: Tensor, learning_rate: float):
        self.parameter, self.learning_rate = parameter, learning_rate
        self.state = {
            "step": torch.zeros(()),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }

    @torch.no_grad()
    def step(self) -> None:
        """One step along the parameter's `.grad`."""
        self.state["step"] += 1
        beta1, beta2 = self.BETAS
        step = float(self.state["step"])
        arrays = (
            self.parameter,
            self.parameter.grad,
            self.state["exp_avg"],
            self.state["exp_avg_sq"],
        )
        _adam(
            *(t.detach().numpy() for t in arrays), beta1, beta2,
            self.learning_rate / (1 - beta1**step), math.sqrt(1 - beta2**step), self.EPSILON,
        )  # fmt: skip
