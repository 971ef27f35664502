"""The fast path on CPUs: hidden layer, loss and gradients in one pass over the samples.

For a batch x (n, 3) with targets t, an affine map (A, a) before the activation and an output layer
(V, c), one replicate's loss and its gradients are

    h = tanh(x A + a),   e = h V + c - t,   L = Σ e²,
    ∂L/∂V = 2 hᵀe,   ∂L/∂c = 2 Σ e,   δ = 2 (e Vᵀ)(1 - h²),   ∂L/∂A = xᵀδ,   ∂L/∂a = Σ δ.

Written in PyTorch, every symbol is an n × width array that goes through memory several times. Here
the samples are taken in blocks small enough that a block's h stays in the L2 cache between the
forward and the backward half, and nothing is allocated. Samples lie on the last axis, so that the
compiler turns the inner loops into vector instructions.

A replicate's arithmetic does not depend on how many replicates there are, nor on its place among
them: results are bit-identical however the seeds are cut into jobs.
"""

import math

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import float64, int64
from numba.extending import intrinsic
from torch import Tensor

from bnstudy.networks import Affine, Linear

L2_BYTES = 256 * 1024  # what a block's h may take of a core's L2 cache
LARGEST_BLOCK = 128  # more samples a block gain nothing

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


_LOG2E = 1 / math.log(2)
_LN2_HIGH = 6.93147180369123816490e-01  # ln 2 in two parts, the first exact in products with k
_LN2_LOW = 1.90821492927058770002e-10
_ROUND = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits of the sum
_EXPONENT_OF_ONE = 1023 << 52
# exp's Taylor coefficients 1/3! … 1/13!: enough for |r| ≤ ln(2)/2
_T3, _T4, _T5, _T6, _T7, _T8, _T9, _T10, _T11, _T12, _T13 = (
    1 / math.factorial(n) for n in range(3, 14)
)


@numba.njit(fastmath={"contract"}, error_model="numpy")
def _activate(x, A, a, h, m):
    """h = tanh(x A + a) for the m samples of x, with an absolute error below 3e-16.

    tanh(z) = 1 - 2 / (exp(2z) + 1), where exp(y) = 2^k · exp(r) with k = round(y / ln 2) and exp(r)
    is its Taylor polynomial of degree 13, by Estrin's scheme. Straight-line code, so that it
    vectorises, unlike a call of the C library (`error_model`: a check for division by zero would
    stop that). Apart from the sums below, because reassociation would undo the rounding of k.
    """
    for j in range(h.shape[0]):
        A0, A1, A2, bias = 2.0 * A[0, j], 2.0 * A[1, j], 2.0 * A[2, j], 2.0 * a[j]
        for i in range(m):
            y = x[0, i] * A0 + x[1, i] * A1 + x[2, i] * A2 + bias
            y = 44.0 if y > 44.0 else y  # tanh is ±1 to the last bit long before; NaN stays NaN
            y = -44.0 if y < -44.0 else y
            shifted = y * _LOG2E + _ROUND
            k = shifted - _ROUND
            r = (y - k * _LN2_HIGH) - k * _LN2_LOW
            r2 = r * r
            r4 = r2 * r2
            low = (1.0 + r) + (0.5 + _T3 * r) * r2 + ((_T4 + _T5 * r) + (_T6 + _T7 * r) * r2) * r4
            high = (_T8 + _T9 * r) + (_T10 + _T11 * r) * r2 + (_T12 + _T13 * r) * r4
            p = low + high * (r4 * r4)
            power = _from_bits((_bits(shifted) << 52) + _EXPONENT_OF_ONE)
            h[j, i] = 1.0 - 2.0 / (p * power + 1.0)


@numba.njit(fastmath=_REASSOCIATE)
def _add_outputs(V, h, e, m):
    """e += h V for m samples; returns Σ e²."""
    for j in range(h.shape[0]):
        for k in range(3):
            for i in range(m):
                e[k, i] += h[j, i] * V[j, k]
    loss = 0.0
    for i in range(m):
        loss += e[0, i] * e[0, i] + e[1, i] * e[1, i] + e[2, i] * e[2, i]
    return loss


@numba.njit(fastmath=_REASSOCIATE)
def _backward(x, V, h, e, m, gA, ga, gV, gc):
    """Add the m samples' share of ∂L/2 to gA, ga, gV, gc (the factor 2 comes at the end)."""
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
            gA[s] = 0.0
            ga[s] = 0.0
            gV[s] = 0.0
            gc[s] = 0.0
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
        if with_gradients:
            gA[s] *= 2.0
            ga[s] *= 2.0
            gV[s] *= 2.0
            gc[s] *= 2.0


class _SquaredError(torch.autograd.Function):
    """The summed squared error of every replicate (R,) with gradients for A, a, V and c."""

    @staticmethod
    def forward(ctx, A, a, V, c, batch):
        parameters = [tensor.detach() for tensor in (A, a, V, c)]
        if not any(ctx.needs_input_grad):
            return batch.losses_of(parameters)
        gradients = [torch.empty(tensor.shape, dtype=tensor.dtype) for tensor in parameters]
        ctx.save_for_backward(*gradients)
        return batch.losses_of(parameters, gradients)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        scale = upstream[:, None, None]
        return *(scale * gradient for gradient in ctx.saved_tensors), None


class Batch:
    """Inputs and targets (R, n, 3) of R replicates, laid out for the kernel, with its workspace."""

    def __init__(self, inputs: Tensor, targets: Tensor, width: int):
        self.inputs = np.ascontiguousarray(inputs.mT.numpy())
        self.targets = np.ascontiguousarray(targets.mT.numpy())
        size = max(8, min(LARGEST_BLOCK, L2_BYTES // (8 * width) // 8 * 8))
        self.workspace = np.empty((3, size)), np.empty((width, size)), np.empty((3, size))

    def squared_error(self, hidden: Affine, output: Linear) -> Tensor:
        """Σ (tanh(x A + a) V + c - t)² over samples and outputs, a replicate each: (R,)."""
        return _SquaredError.apply(*hidden, output.weight, output.bias, self)

    def losses_of(self, parameters: list[Tensor], gradients: list[Tensor] | None = None) -> Tensor:
        """Losses (R,) at (A, a, V, c); their gradients go into `gradients`, if given."""
        losses = torch.empty(len(self.inputs), dtype=torch.float64)
        A, a, V, c = (tensor.contiguous().numpy() for tensor in parameters)
        gA, ga, gV, gc = (tensor.numpy() for tensor in gradients or parameters)  # or: unused
        _squared_error(
            self.inputs, self.targets, A, a[:, 0], V, c[:, 0], *self.workspace, losses.numpy(),
            gradients is not None, gA, ga[:, 0], gV, gc[:, 0],
        )  # fmt: skip
        return losses
