"""The fast path on CPUs: hidden layer, loss and gradients in one pass over the samples, and BN's
affine map in one call.

For a batch x (n, 3) with targets t, an affine map (A, a) before the activation and an output layer
(V, c), one replicate's loss and its gradients are

    h = tanh(x A + a),   e = h V + c - t,   L = Σ e²,
    ∂L/∂V = 2 hᵀe,   ∂L/∂c = 2 Σ e,   δ = 2 (e Vᵀ)(1 - h²),   ∂L/∂A = xᵀδ,   ∂L/∂a = Σ δ.

Written in PyTorch, every symbol is an n × width array that goes through memory several times. Here
the samples are taken in blocks small enough that a block's h stays in the cache between the
forward and the backward half, and nothing is allocated. Samples lie on the last axis, so that the
compiler turns the inner loops into vector instructions.

BN's affine map and its way back work on O(width) numbers, where PyTorch's cost is that of its
calls: some dozens per epoch, more than the pass itself at small widths. So each is one compiled
call as well, on the network's own memory: one row of parameters for each replicate, in the order
hidden weight (3, width), hidden bias, [scale, shift,] output weight (width, 3), output bias.

A replicate's arithmetic does not depend on how many replicates there are, nor on its place among
them: results are bit-identical however the seeds are cut into jobs.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float64
from llvmlite import ir
from numba import float64, int64
from numba.extending import intrinsic
from torch import Tensor

from bnstudy.experiment.layers import Affine, BatchNorm, Linear, Network

Rows = Float64[np.ndarray, "seed ..."]
# () -> losses (R,) on a fixed batch; one for training leaves their gradients with the parameters
Evaluate = Callable[[], Tensor]

BLOCK_SAMPLES = 128  # more gain nothing
BLOCK_BYTES = 1024**2  # what a block's h may take of the cache

# Reordering sums lets the compiler vectorise the reductions. NaN and infinity keep their meaning.
_REASSOCIATE = {"reassoc", "contract", "nsz"}


@intrinsic
@no_type_check
def _bits(typingctx, value):
    """The 64 bits of a float, as an integer."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return int64(float64), generate


@intrinsic
@no_type_check
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
    1.66666666666666019037e-01,
    -2.77777777770155933842e-03,
    6.61375632143793436117e-05,
    -1.65339022054652515390e-06,
    4.13813679705723846039e-08,
)
_Q0 = 2 / _LN2
_Q1, _Q2, _Q3, _Q4, _Q5 = (p * _LN2 ** (2 * k + 1) for k, p in enumerate(_FDLIBM))


@numba.njit(fastmath={"contract"}, error_model="numpy")
@no_type_check
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
@no_type_check
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
@no_type_check
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
@no_type_check
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
@no_type_check
def _squared_error(x, t, affine, theta, xb, h, e, losses, with_gradients, gaffine, gtheta):
    """Losses (R,) and, if asked for, gradients of R replicates, laid out as what they belong to.

    x, t: (R, 3, n). affine: rows that begin with A (3, width) and a (width,); theta: rows that end
    with V (width, 3) and c (3,). Workspace for one block of samples: xb, e (3, block) and
    h (width, block).
    """
    width, size = h.shape
    begin, bias = theta.shape[1] - 3 * width - 3, theta.shape[1] - 3
    for s in range(x.shape[0]):
        A, a = affine[s, : 3 * width].reshape(3, width), affine[s, 3 * width : 4 * width]
        V, c = theta[s, begin:bias].reshape(width, 3), theta[s, bias:]
        gA, ga = gaffine[s, : 3 * width].reshape(3, width), gaffine[s, 3 * width : 4 * width]
        gV, gc = gtheta[s, begin:bias].reshape(width, 3), gtheta[s, bias:]
        losses[s] = 0.0
        if with_gradients:
            gA[:], ga[:], gV[:], gc[:] = 0.0, 0.0, 0.0, 0.0
        for start in range(0, x.shape[2], size):
            m = min(size, x.shape[2] - start)
            for k in range(3):
                for i in range(m):
                    xb[k, i] = x[s, k, start + i]
                    e[k, i] = c[k] - t[s, k, start + i]
            _activate(xb, A, a, h, m)
            losses[s] += _add_outputs(V, h, e, m)
            if with_gradients:
                _backward(xb, V, h, e, m, gA, ga, gV, gc)


class Batch:
    """Inputs and targets of R replicates, laid out for the kernel, with its workspace."""

    def __init__(
        self,
        inputs: Float64[Tensor, "seed sample 3"],
        targets: Float64[Tensor, "seed sample 3"],
        width: int,
    ):
        self.inputs = np.ascontiguousarray(inputs.mT.numpy())
        self.targets = np.ascontiguousarray(targets.mT.numpy())
        size = max(8, min(BLOCK_SAMPLES, BLOCK_BYTES // (8 * width) // 8 * 8))
        self.workspace = np.empty((3, size)), np.empty((width, size)), np.empty((3, size))

    def losses(
        self, affine: Rows, theta: Rows, gradients: tuple[Rows, Rows] | None = None
    ) -> Float64[Tensor, " seed"]:
        """Σ (tanh(x A + a) V + c - t)² over samples and outputs, for each replicate.

        `affine`: rows that begin with A and a; `theta`: rows that end with V and c. The gradients
        of the two go to `gradients`, if given.
        """
        losses = torch.empty(len(self.inputs), dtype=torch.float64)
        _squared_error(
            self.inputs,
            self.targets,
            affine,
            theta,
            *self.workspace,
            losses.numpy(),
            gradients is not None,
            *(gradients or (affine, theta)),
        )
        return losses


class _SquaredError(torch.autograd.Function):
    """`Batch.losses` for autograd; both rows as tensors."""

    @staticmethod
    def forward(ctx: Any, affine: Tensor, theta: Tensor, batch: Batch) -> Tensor:
        rows = affine.detach().numpy(), theta.detach().numpy()
        if not any(ctx.needs_input_grad):
            return batch.losses(*rows)
        gradients = torch.empty_like(affine), torch.empty_like(theta)
        ctx.save_for_backward(*gradients)
        return batch.losses(*rows, (gradients[0].numpy(), gradients[1].numpy()))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return *(upstream[:, None] * gradient for gradient in ctx.saved_tensors), None


def squared_error(batch: Batch, hidden: Affine, output: Linear) -> Float64[Tensor, " seed"]:
    """`batch.losses` of an affine map before the activation and an output layer, for autograd."""
    layers = hidden, (output.weight, output.bias)
    rows = [torch.cat([part.flatten(1) for part in layer], dim=1) for layer in layers]
    return _SquaredError.apply(*rows, batch)


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _affine(theta, running_mean, running_std, momentum, epsilon, affine, p, std, mean, C):
    """BatchNorm.affine in training mode for R replicates; fills affine, p (x̄W) and std (σ), and
    moves the running values. mean (R, 3); C (R, 3, 3); p, std and the running values (R, width)."""
    width = p.shape[1]
    for s in range(theta.shape[0]):
        W, b = theta[s, : 3 * width].reshape(3, width), theta[s, 3 * width : 4 * width]
        scale, shift = theta[s, 4 * width : 5 * width], theta[s, 5 * width : 6 * width]
        A, a = affine[s, : 3 * width].reshape(3, width), affine[s, 3 * width :]
        for j in range(width):
            w0, w1, w2 = W[0, j], W[1, j], W[2, j]
            p[s, j] = mean[s, 0] * w0 + mean[s, 1] * w1 + mean[s, 2] * w2
            variance = (
                w0 * (C[s, 0, 0] * w0 + C[s, 0, 1] * w1 + C[s, 0, 2] * w2)
                + w1 * (C[s, 1, 0] * w0 + C[s, 1, 1] * w1 + C[s, 1, 2] * w2)
                + w2 * (C[s, 2, 0] * w0 + C[s, 2, 1] * w1 + C[s, 2, 2] * w2)
            )
            std[s, j] = math.sqrt(variance + epsilon)
            gain = scale[j] / std[s, j]
            A[0, j], A[1, j], A[2, j] = w0 * gain, w1 * gain, w2 * gain
            a[j] = shift[j] - p[s, j] * gain
            new = 1 - momentum
            running_mean[s, j] = momentum * running_mean[s, j] + new * (p[s, j] + b[j])
            running_std[s, j] = momentum * running_std[s, j] + new * std[s, j]


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _affine_backward(theta, p, std, gaffine, gtheta, mean, C):
    """From ∂A, ∂a to ∂W, ∂scale, ∂shift.

    With g = scale/σ, A = W g, a = shift - p g, σ² = diag(WᵀCW) + ε (all per unit):
    ∂g = Σ_l ∂A_l W_l - p ∂a,   ∂σ = -∂g g/σ,   ∂W = g (∂A - x̄ ∂a) + (∂σ/σ) C W.
    """
    width = p.shape[1]
    for s in range(theta.shape[0]):
        W, scale = theta[s, : 3 * width].reshape(3, width), theta[s, 4 * width : 5 * width]
        gA, ga = gaffine[s, : 3 * width].reshape(3, width), gaffine[s, 3 * width :]
        gW = gtheta[s, : 3 * width].reshape(3, width)
        gscale, gshift = gtheta[s, 4 * width : 5 * width], gtheta[s, 5 * width : 6 * width]
        for j in range(width):
            w0, w1, w2 = W[0, j], W[1, j], W[2, j]
            gain = scale[j] / std[s, j]
            ggain = gA[0, j] * w0 + gA[1, j] * w1 + gA[2, j] * w2 - p[s, j] * ga[j]
            along = -ggain * gain / (std[s, j] * std[s, j])
            for k in range(3):
                cw = C[s, k, 0] * w0 + C[s, k, 1] * w1 + C[s, k, 2] * w2
                gW[k, j] = gain * (gA[k, j] - mean[s, k] * ga[j]) + along * cw
            gscale[j] = ggain / std[s, j]
            gshift[j] = ga[j]


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _affine_running(theta, running_mean, running_std, affine):
    """BatchNorm.affine in evaluation mode for R replicates; fills affine."""
    width = running_mean.shape[1]
    for s in range(theta.shape[0]):
        W, b = theta[s, : 3 * width].reshape(3, width), theta[s, 3 * width : 4 * width]
        scale, shift = theta[s, 4 * width : 5 * width], theta[s, 5 * width : 6 * width]
        A, a = affine[s, : 3 * width].reshape(3, width), affine[s, 3 * width :]
        for j in range(width):
            gain = scale[j] / running_std[s, j]
            for k in range(3):
                A[k, j] = W[k, j] * gain
            a[j] = shift[j] + (b[j] - running_mean[s, j]) * gain


class KernelEvaluator:
    """Losses and gradients by the compiled passes alone, without autograd.

    `parameters` and `gradients` are the rows (R, P) on which the network's layers are views (see
    `training.flatten`).
    """

    def __init__(
        self,
        network: Network,
        parameters: Float64[Tensor, "seed parameter"],
        gradients: Float64[Tensor, "seed parameter"],
    ):
        self.network, self.norm = network, network.norm
        self.theta, self.gtheta = parameters.numpy(), gradients.numpy()
        self.affine, self.gaffine = self.theta, self.gtheta
        if self.norm is not None:
            replicates, width = len(self.theta), network.width
            self.affine, self.gaffine = np.empty((2, replicates, 4 * width))
            self.projected, self.std = np.empty((2, replicates, width))
            self.running = _row(self.norm.running_mean), _row(self.norm.running_std)

    @staticmethod
    def supports(network: Network) -> bool:
        """Whether the network's layers are those that are compiled here, and not variants."""
        return (
            type(network.hidden) is Linear
            and type(network.norm) in (type(None), BatchNorm)
            and network.dropout is None
        )

    def train(
        self, inputs: Float64[Tensor, "seed sample 3"], targets: Float64[Tensor, "seed sample 3"]
    ) -> Evaluate:
        """In training mode; leaves gradients. The bias before BN cancels: its gradient stays 0."""
        batch, moments = Batch(inputs, targets, self.network.width), self.network.moments(inputs)
        rows = self.affine, self.theta, (self.gaffine, self.gtheta)
        if moments is None:
            return partial(batch.losses, *rows)
        known = _row(moments.mean), moments.covariance.numpy()
        constants = self.norm.momentum, self.norm.epsilon
        work = self.projected, self.std

        def evaluate() -> Tensor:
            _affine(self.theta, *self.running, *constants, self.affine, *work, *known)
            losses = batch.losses(*rows)
            _affine_backward(self.theta, *work, self.gaffine, self.gtheta, *known)
            return losses

        return evaluate

    def test(
        self, inputs: Float64[Tensor, "seed sample 3"], targets: Float64[Tensor, "seed sample 3"]
    ) -> Evaluate:
        """In evaluation mode, without gradients."""
        batch = Batch(inputs, targets, self.network.width)

        def evaluate() -> Tensor:
            if self.norm is not None:
                _affine_running(self.theta, *self.running, self.affine)
            return batch.losses(self.affine, self.theta)

        return evaluate


def _row(tensor: Float64[Tensor, "seed 1 unit"]) -> Rows:
    """Without the axis over samples."""
    return tensor.detach().numpy()[:, 0]
