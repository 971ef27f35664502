"""The fast path on CPUs: hidden layer, loss and gradients in one pass over the samples, and BN as
an affine map in O(width), for one batch in one compiled call.

For a batch x (n, 3) with targets t, an affine map (A, a) before the activation and an output layer
(V, c), one replicate's loss and its gradients are

    h = tanh(x A + a),   e = h V + c - t,   L = Σ e²,
    ∂L/∂V = 2 hᵀe,   ∂L/∂c = 2 Σ e,   δ = 2 (e Vᵀ)(1 - h²),   ∂L/∂A = xᵀδ,   ∂L/∂a = Σ δ.

Written in PyTorch, every symbol is an n × width array that goes through memory several times. Here
the samples are taken in blocks whose h stays in the cache between two sweeps over the units. The
forward sweep holds the inputs and residuals of a group of samples in registers; the way back holds
the seven sums of a unit. Both are written in vectors (`Vector`), because what the compiler made of
scalar loops took a third longer or more, at every width.

The order of all additions is part of the source: a sum over samples is eight partial sums, whatever
the processor's vectors hold. So results are bit-identical on all processors with fused
multiply-add, however the seeds are cut into jobs: a replicate's arithmetic depends neither on their
number nor on its place among them.

All compiled code that works together is in this one module: Numba's cache looks at the time stamp
of the module of the function that is called, and of no other.
"""

import math
import operator
from functools import partial
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import extending, float64, int64, types
from numba.core import cgutils
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic

SUMS = 8  # partial sums over samples
# doubles in a vector of the processor's, for the way back, which wants all registers
LANES = 8 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 4
BLOCK_SAMPLES = 128  # more gain nothing
BLOCK_BYTES = 1024**2  # what a block's h may take of the cache


# --- vectors ---------------------------------------------------------------------------------


class Vector(types.Type):
    """So many doubles that Numba computes with side by side. A number stands for a vector of it."""

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__(f"Vector({lanes})")

    def can_convert_from(self, typingctx, other):
        """Numbers become vectors."""
        return Conversion.promote if other == float64 else None


@extending.register_model(Vector)
class _VectorModel(extending.models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.VectorType(ir.DoubleType(), vector.lanes))


@extending.lower_cast(types.Float, Vector)
def _broadcast(context, builder, number, vector, value):
    return _repeat(builder, value, vector.lanes)


def _repeat(builder, value, lanes):
    """A vector of `lanes` times the same value."""
    nothing = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    one = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, nothing, _integers([0] * lanes, 32))


def _integers(values, bits=64):
    return ir.Constant(ir.VectorType(ir.IntType(bits), len(values)), values)


def _select(builder, wanted, value):
    """`value` with 0 in the lanes that are not wanted."""
    return builder.select(wanted, value, ir.Constant(value.type, [0.0] * value.type.count))


def _define(function, instruction):
    """`function` of two vectors, or of a vector and a number, as an LLVM instruction."""

    @infer_global(function)
    class Typing(AbstractTemplate):
        def generic(self, args, kws):
            found = [argument for argument in args if isinstance(argument, Vector)]
            return signature(found[0], found[0], found[0]) if found else None

    @extending.lower_builtin(function, Vector, Vector)
    def lower(context, builder, sig, args):
        return getattr(builder, instruction)(*args)


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")


def _pointer(context, builder, sig, args, vector):
    array = context.make_array(sig.args[0])(context, builder, args[0])
    return builder.bitcast(builder.gep(array.data, [args[1]]), vector.as_pointer())


@intrinsic(prefer_literal=True)
def _load(typingctx, array, start, lanes):
    """`lanes` values of a flat array, from `start` on."""
    vector = Vector(lanes.literal_value)

    def generate(context, builder, sig, args):
        pointer = _pointer(context, builder, sig, args, context.get_value_type(vector))
        return builder.load(pointer, align=8)

    return vector(array, types.intp, lanes), generate


@intrinsic
def _store(typingctx, array, start, value):
    """array[start : start + lanes] = value."""

    def generate(context, builder, sig, args):
        builder.store(args[2], _pointer(context, builder, sig, args, args[2].type), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic(prefer_literal=True)
def _constant(typingctx, value, lanes):
    """A vector of one number."""

    def generate(context, builder, sig, args):
        return _repeat(builder, args[0], lanes.literal_value)

    return Vector(lanes.literal_value)(float64, lanes), generate


def _fused(negate):
    @intrinsic
    def fma(typingctx, a, b, c):
        vector = next(v for v in (a, b, c) if isinstance(v, Vector))

        def generate(context, builder, sig, args):
            first, *others = args
            kind = ir.FunctionType(first.type, [first.type] * 3)
            name = f"llvm.fma.v{vector.lanes}f64"
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            return builder.call(function, [builder.fneg(first) if negate else first, *others])

        return vector(vector, vector, vector), generate

    return fma


_fma = _fused(negate=False)  # a · b + c, rounded once
_fnma = _fused(negate=True)  # c - a · b, rounded once


@intrinsic
def _clamp(typingctx, value, limit):
    """`value` within ± limit; NaN stays NaN."""

    def generate(context, builder, sig, args):
        low, high = builder.fneg(args[1]), args[1]
        below = builder.select(builder.fcmp_ordered(">", args[0], high), high, args[0])
        return builder.select(builder.fcmp_ordered("<", below, low), low, below)

    return value(value, value), generate


@intrinsic
def _times_power(typingctx, value, shifted):
    """value · 2^k, by adding k to its exponent; the low bits of `shifted` hold k."""

    def generate(context, builder, sig, args):
        bits = ir.VectorType(ir.IntType(64), value.lanes)
        whole, k = (builder.bitcast(argument, bits) for argument in args)
        moved = builder.add(whole, builder.shl(k, _integers([52] * value.lanes)))
        return builder.bitcast(moved, args[0].type)

    return value(value, value), generate


@intrinsic
def _first(typingctx, value, count):
    """`value` with 0 from lane `count` on."""

    def generate(context, builder, sig, args):
        lanes = _integers(list(range(value.lanes)))
        wanted = builder.icmp_signed("<", lanes, _repeat(builder, args[1], value.lanes))
        return _select(builder, wanted, args[0])

    return value(value, int64), generate


@intrinsic
def _kept(typingctx, value, draws, start, threshold):
    """`value` with 0 where the 16-bit integers from `start` on are below the threshold."""

    def generate(context, builder, sig, args):
        integers = ir.VectorType(ir.IntType(16), value.lanes)
        place = types.void(*sig.args[1:3]), args[1:3], integers
        drawn = builder.load(_pointer(context, builder, *place), align=2)
        limit = _repeat(builder, builder.trunc(args[3], ir.IntType(16)), value.lanes)
        return _select(builder, builder.icmp_signed(">=", drawn, limit), args[0])

    return value(value, draws, types.intp, int64), generate


@intrinsic
def _pairs(typingctx, a, b):
    """Sums of neighbours: of a's lanes, then of b's."""

    def generate(context, builder, sig, args):
        halves = (
            builder.shuffle_vector(*args, _integers(list(range(odd, 2 * a.lanes, 2)), 32))
            for odd in (0, 1)
        )
        return builder.fadd(*halves)

    return a(a, a), generate


# --- the pass over a batch -------------------------------------------------------------------

_jit: Any = partial(numba.njit, error_model="numpy")
_entry: Any = partial(numba.njit, error_model="numpy", cache=True, nogil=True)

_ROUND = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits of the sum
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


@_jit
def _tanh(u):
    """tanh(u ln2 / 2) = (2^u - 1) / (2^u + 1), with an absolute error below 3e-16.

    2^u = 2^k · (q + f) / (q - f) with k = round(u), f = u - k and q = f · coth(f ln2 / 2): one
    polynomial and one division for all. tanh is ±1 to the last bit long before |u| = 64.
    """
    u = _clamp(u, 64.0)
    shifted = u + _ROUND
    f = u - (shifted - _ROUND)
    f2 = f * f
    q = _fma(_fma(_fma(_fma(_fma(f2, _Q5, _Q4), f2, _Q3), f2, _Q2), f2, _Q1), f2, _Q0)
    low = q - f
    high = _times_power(q + f, shifted)
    return (high - low) / (high + low)


def scratch(width):
    """Memory for the pass: units, h, e, sums, and two rows for BN. What a call leaves there, no
    other reads."""
    block = max(SUMS, min(BLOCK_SAMPLES, BLOCK_BYTES // (8 * width) // SUMS * SUMS))
    row = block + SUMS
    sizes = 8 * width, width * row, 3 * row, 7 * SUMS * width + 4 * SUMS, width, width
    return tuple(map(_aligned, sizes))


def _aligned(size):
    """Zeros that begin at a multiple of 64 bytes, so that no vector lies across two cache lines."""
    memory = np.zeros(size + 8)
    return memory[-memory.ctypes.data % 64 // 8 :][:size]


@_jit
def _activation(j, x0, x1, x2, z, units, h, place):
    """tanh of unit j for eight samples: of an affine map of x, or of z, which h holds."""
    if z is None:
        k = 8 * j
        u = _fma(x0, units[k], _fma(x1, units[k + 1], _fma(x2, units[k + 2], units[k + 3])))
        return _tanh(u)
    return _tanh(_load(h, place, SUMS) * _PER_TANH)


@_jit
def _outputs(j, value, drops, sample, units, e0, e1, e2):
    """e + h V of unit j, with what is dropped taken away."""
    if drops is not None:
        value = _dropped(value, drops, j, sample)
    k = 8 * j
    return (
        _fma(value, units[k + 4], e0),
        _fma(value, units[k + 5], e1),
        _fma(value, units[k + 6], e2),
    )


@_jit
def _dropped(value, drops, unit, sample):
    draws, length, threshold = drops
    return _kept(value, draws, unit * length + sample, threshold)


@_jit
def _forward(width, m, x, size, at, z, drops, place, c, units, h, row, e, stride):
    """h = tanh(x A + a) and e = h V + c - t for the m samples of a block.

    They begin `at` in x (6 rows of `size`: inputs, targets). With `z` given, h holds the
    pre-activations. Rows of h lie `row` apart, those of e `stride`. `drops` (or None): draws, their
    row's length and the threshold; the block begins at `place` there. Three units at a time: the
    processor, which looks ahead only so far, finds more to do while it waits for a division.
    """
    for i in range(0, m, SUMS):
        x0 = _load(x, at + i, SUMS)
        x1 = _load(x, at + i + size, SUMS)
        x2 = _load(x, at + i + 2 * size, SUMS)
        e0 = c[0] - _load(x, at + i + 3 * size, SUMS)
        e1 = c[1] - _load(x, at + i + 4 * size, SUMS)
        e2 = c[2] - _load(x, at + i + 5 * size, SUMS)
        for j in range(0, width - 2, 3):
            to = j * row + i
            first = _activation(j, x0, x1, x2, z, units, h, to)
            second = _activation(j + 1, x0, x1, x2, z, units, h, to + row)
            third = _activation(j + 2, x0, x1, x2, z, units, h, to + 2 * row)
            _store(h, to, first)
            _store(h, to + row, second)
            _store(h, to + 2 * row, third)
            e0, e1, e2 = _outputs(j, first, drops, place + i, units, e0, e1, e2)
            e0, e1, e2 = _outputs(j + 1, second, drops, place + i, units, e0, e1, e2)
            e0, e1, e2 = _outputs(j + 2, third, drops, place + i, units, e0, e1, e2)
        for j in range(width // 3 * 3, width):
            value = _activation(j, x0, x1, x2, z, units, h, j * row + i)
            _store(h, j * row + i, value)
            e0, e1, e2 = _outputs(j, value, drops, place + i, units, e0, e1, e2)
        if i + SUMS > m:
            e0, e1, e2 = _first(e0, m - i), _first(e1, m - i), _first(e2, m - i)
        _store(e, i, e0)
        _store(e, i + stride, e1)
        _store(e, i + 2 * stride, e2)


@_jit
def _add_residuals(e, stride, m, total):
    """Add Σ e (3) and Σ e² to the four rows of `total`."""
    s0, s1, s2 = _load(total, 0, SUMS), _load(total, 8, SUMS), _load(total, 16, SUMS)
    loss = _load(total, 24, SUMS)
    for i in range(0, m, SUMS):
        e0, e1 = _load(e, i, SUMS), _load(e, i + stride, SUMS)
        e2 = _load(e, i + 2 * stride, SUMS)
        loss = _fma(e2, e2, _fma(e1, e1, _fma(e0, e0, loss)))
        s0, s1, s2 = s0 + e0, s1 + e1, s2 + e2
    _store(total, 0, s0)
    _store(total, 8, s1)
    _store(total, 16, s2)
    _store(total, 24, loss)


@_jit
def _backward(width, m, x, size, at, z, drops, place, units, h, row, e, stride, sums):
    """Add a block's share of half of ∂L/∂A, ∂L/∂a, ∂L/∂V to the seven rows of each unit's sums.

    With `z` given, h becomes half of ∂L/∂z. One half of the partial sums after the other, where the
    processor's vectors hold but half of them.
    """
    for j in range(width):
        V0, V1, V2 = units[8 * j + 4], units[8 * j + 5], units[8 * j + 6]
        for half in range(0, SUMS, LANES):
            k = 7 * SUMS * j + half
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = _constant(0.0, LANES)
            if place:  # not the first block
                s0, s1 = _load(sums, k, LANES), _load(sums, k + 8, LANES)
                s2, s3 = _load(sums, k + 16, LANES), _load(sums, k + 24, LANES)
                s4, s5 = _load(sums, k + 32, LANES), _load(sums, k + 40, LANES)
                s6 = _load(sums, k + 48, LANES)
            for i in range(half, m, SUMS):
                value = _load(h, j * row + i, LANES)
                e0, e1 = _load(e, i, LANES), _load(e, i + stride, LANES)
                e2 = _load(e, i + 2 * stride, LANES)
                delta = _fma(e0, V0, _fma(e1, V1, e2 * V2)) * _fnma(value, value, 1.0)
                if drops is not None:
                    delta = _dropped(delta, drops, j, place + i)
                    value = _dropped(value, drops, j, place + i)
                if z is not None:
                    _store(h, j * row + i, delta)
                s0 = _fma(delta, _load(x, at + i, LANES), s0)
                s1 = _fma(delta, _load(x, at + i + size, LANES), s1)
                s2 = _fma(delta, _load(x, at + i + 2 * size, LANES), s2)
                s3 = s3 + delta
                s4, s5, s6 = _fma(value, e0, s4), _fma(value, e1, s5), _fma(value, e2, s6)
            _store(sums, k, s0)
            _store(sums, k + 8, s1)
            _store(sums, k + 16, s2)
            _store(sums, k + 24, s3)
            _store(sums, k + 32, s4)
            _store(sums, k + 40, s5)
            _store(sums, k + 48, s6)


@_jit
def _four(sums, at):
    """Eight partial sums as four."""
    return _load(sums, at, 4) + _load(sums, at + 4, 4)


@_jit
def _totals(sums, at):
    """The totals of four times eight partial sums, from `at` on."""
    first = _pairs(_four(sums, at), _four(sums, at + 8))
    return _pairs(first, _pairs(_four(sums, at + 16), _four(sums, at + 24)))


@_jit
def _pass(width, x, start, stop, z, drops, c, scratch, training, gz):
    """The loss of a replicate on the samples from `start` to `stop` of x (6 rows, flat).

    `units`, the first of `scratch`, holds 8 numbers for each unit: A and a, times _PER_TANH, and V.
    In their order `sums` comes to hold half of their gradients, 8 numbers for each unit (the last
    is none), and behind the partial sums half of ∂L/∂c.
    """
    units, h, e, sums, _, _ = scratch
    size, stride = len(x) // 6, len(e) // 3
    row = stride if training or z is not None else 0  # else h is not needed again
    block = stride - SUMS
    total = sums[7 * SUMS * width :]
    total[:] = 0.0
    for at in range(start, stop, block):
        m, place = min(block, stop - at), at - start
        if z is not None:
            for i in range(m):
                for j in range(width):
                    h[j * row + i] = z[(place + i) * width + j]
        _forward(width, m, x, size, at, z, drops, place, c, units, h, row, e, stride)
        _add_residuals(e, stride, m, total)
        if training:
            _backward(width, m, x, size, at, z, drops, place, units, h, row, e, stride, sums)
            if z is not None:
                for i in range(m):
                    for j in range(width):
                        gz[(place + i) * width + j] = 2.0 * h[j * row + i]
    _store(total, 0, _totals(total, 0))
    if training:
        for j in range(width):
            k = 7 * SUMS * j
            fourth, last = _four(sums, k + 32), _four(sums, k + 48)
            rest = _pairs(_pairs(fourth, _four(sums, k + 40)), _pairs(last, last))
            _store(sums, 8 * j, _totals(sums, k))
            _store(sums, 8 * j + 4, rest)
    return total[3]


@_jit
def _take_output(width, output, units, gain):
    """Copy gain · V from a row that ends with V (width, 3) and c (3,); returns c."""
    bias = len(output) - 3
    begin = bias - 3 * width
    for j in range(width):
        for k in range(3):
            units[8 * j + 4 + k] = gain * output[begin + 3 * j + k]
    return output[bias:]


@_jit
def _give_output(width, sums, goutput, gain):
    """The gradients of V and c, from half of those of gain · V and c, to the end of a row."""
    bias = len(goutput) - 3
    begin = bias - 3 * width
    for j in range(width):
        for k in range(3):
            goutput[begin + 3 * j + k] = 2.0 * gain * sums[8 * j + 4 + k]
    for k in range(3):
        goutput[bias + k] = 2.0 * sums[7 * SUMS * width + k]


def _replicate(given, s):
    """One replicate's part, flat, of an array, of `drops`, or of None; for compiled code."""


@extending.overload(_replicate)
def _define_replicate(given, s):
    if isinstance(given, types.NoneType):
        return lambda given, s: None
    if isinstance(given, types.Array):
        return lambda given, s: given[s].reshape(-1)
    return lambda given, s: (given[0][s].reshape(-1), given[0].shape[2], given[1])


@_entry
def squared_error(
    samples, start, stop, hidden, z, output, drops, gain, scratch, training, ghidden, gz, goutput
):
    """Losses (R,) and, if asked for, gradients of R replicates, laid out as what they belong to.

    samples: (R, 6, …), see `lay_out`. hidden: rows that begin with A (3, width) and a (width,), or
    z: pre-activations (R, n, width); of the two, what is not given is None. output: rows that end
    with V (width, 3) and c (3,). drops: None, or draws (R, width, …) and the threshold; what is
    kept is multiplied by `gain`. training: whether with gradients.
    """
    units, sums, width = scratch[0], scratch[3], len(scratch[4])
    losses = np.empty(len(samples))
    for s in range(len(samples)):
        c = _take_output(width, output[s], units, gain)
        if hidden is not None:
            for j in range(width):
                for k in range(4):
                    units[8 * j + k] = _PER_TANH * hidden[s, k * width + j]
        flat, before, dropped = samples[s].reshape(-1), _replicate(z, s), _replicate(drops, s)
        last = scratch, training, _replicate(gz, s)
        losses[s] = _pass(width, flat, start, stop, before, dropped, c, *last)
        if training:
            _give_output(width, sums, goutput[s], gain)
            if ghidden is not None:
                for j in range(width):
                    for k in range(4):
                        ghidden[s, k * width + j] = 2.0 * sums[8 * j + k]
    return losses


@_entry
def moments(samples, start, stop, correction):
    """Mean (R, 3) and covariance (R, 3, 3; divisor n - correction) of the inputs."""
    mean, covariance = np.empty((len(samples), 3)), np.empty((len(samples), 3, 3))
    n = stop - start
    for s in range(len(samples)):
        x, y, z = samples[s, 0], samples[s, 1], samples[s, 2]
        mx = my = mz = xx = xy = xz = yy = yz = zz = 0.0
        for i in range(start, stop):
            mx, my, mz = mx + x[i], my + y[i], mz + z[i]
        mx, my, mz = mx / n, my / n, mz / n
        for i in range(start, stop):
            dx, dy, dz = x[i] - mx, y[i] - my, z[i] - mz
            xx, xy, xz = xx + dx * dx, xy + dx * dy, xz + dx * dz
            yy, yz, zz = yy + dy * dy, yz + dy * dz, zz + dz * dz
        mean[s] = mx, my, mz
        C = covariance[s]
        C[0], C[1], C[2] = (xx, xy, xz), (xy, yy, yz), (xz, yz, zz)
        covariance[s] /= n - correction
    return mean, covariance


@_entry
def squared_error_after_bn(
    samples, start, stop, moments, theta, norm, running, drops, kept, scratch, training, gtheta
):
    """The same for networks with BatchNorm, whose rows theta hold W, b, scale, shift, V, c.

    In training mode with gradients, running values moved on; else by the running values. norm:
    momentum, epsilon, centre, divide, see BatchNorm. running: mean and std, (R, width) each. With
    μ, σ the batch's, g = scale/σ and o = -x̄W (or b, where the mean stays), per unit:
    A = W g, a = shift + o g, σ² = diag(WᵀCW) + ε; and back, ∂g = Σ_l ∂A_l W_l + o ∂a,
    ∂σ = -∂g g/σ, ∂W = g (∂A - x̄ ∂a) + (∂σ/σ) C W.
    """
    units, _, _, sums, offsets, stds = scratch
    width = len(offsets)
    momentum, epsilon, centre, divide = norm
    losses = np.empty(len(samples))
    for s in range(len(samples)):
        c = _take_output(width, theta[s], units, kept)
        W, b = theta[s, : 3 * width].reshape(3, width), theta[s, 3 * width : 4 * width]
        scale, shift = theta[s, 4 * width : 5 * width], theta[s, 5 * width : 6 * width]
        mean, std = running[0][s], running[1][s]
        x, C = moments[0][s], moments[1][s]
        for j in range(width):
            offsets[j], stds[j] = b[j] - mean[j], std[j]
            w0, w1, w2 = W[0, j], W[1, j], W[2, j]
            if training and centre:
                projected = x[0] * w0 + x[1] * w1 + x[2] * w2
                offsets[j] = -projected
                mean[j] = momentum * mean[j] + (1 - momentum) * (projected + b[j])
            if training and divide:
                variance = (
                    w0 * (C[0, 0] * w0 + C[0, 1] * w1 + C[0, 2] * w2)
                    + w1 * (C[1, 0] * w0 + C[1, 1] * w1 + C[1, 2] * w2)
                    + w2 * (C[2, 0] * w0 + C[2, 1] * w1 + C[2, 2] * w2)
                )
                stds[j] = math.sqrt(variance + epsilon)
                std[j] = momentum * std[j] + (1 - momentum) * stds[j]
            gain = scale[j] / stds[j]
            units[8 * j] = _PER_TANH * (w0 * gain)
            units[8 * j + 1] = _PER_TANH * (w1 * gain)
            units[8 * j + 2] = _PER_TANH * (w2 * gain)
            units[8 * j + 3] = _PER_TANH * (shift[j] + offsets[j] * gain)
        flat, dropped = samples[s].reshape(-1), _replicate(drops, s)
        losses[s] = _pass(width, flat, start, stop, None, dropped, c, scratch, training, None)
        if not training:
            continue
        _give_output(width, sums, gtheta[s], kept)
        gW, gb = gtheta[s, : 3 * width].reshape(3, width), gtheta[s, 3 * width : 4 * width]
        gscale, gshift = gtheta[s, 4 * width : 5 * width], gtheta[s, 5 * width : 6 * width]
        for j in range(width):
            g0, g1, g2 = 2.0 * sums[8 * j], 2.0 * sums[8 * j + 1], 2.0 * sums[8 * j + 2]
            ga = 2.0 * sums[8 * j + 3]
            w0, w1, w2 = W[0, j], W[1, j], W[2, j]
            gain = scale[j] / stds[j]
            ggain = g0 * w0 + g1 * w1 + g2 * w2 + offsets[j] * ga
            gscale[j], gshift[j] = ggain / stds[j], ga
            gb[j] = 0.0 if centre else gain * ga
            if centre:
                g0, g1, g2 = g0 - x[0] * ga, g1 - x[1] * ga, g2 - x[2] * ga
            along = -ggain * gain / (stds[j] * stds[j]) if divide else 0.0
            gW[0, j] = gain * g0 + along * (C[0, 0] * w0 + C[0, 1] * w1 + C[0, 2] * w2)
            gW[1, j] = gain * g1 + along * (C[1, 0] * w0 + C[1, 1] * w1 + C[1, 2] * w2)
            gW[2, j] = gain * g2 + along * (C[2, 0] * w0 + C[2, 1] * w1 + C[2, 2] * w2)
    return losses


@_entry
def shuffle(source, orders, samples):
    """Fill samples (R, 6, …) with those of source in each replicate's order, orders (R, n)."""
    for s in range(len(source)):
        for k in range(6):
            for i in range(orders.shape[1]):
                samples[s, k, i] = source[s, k, orders[s, i]]
