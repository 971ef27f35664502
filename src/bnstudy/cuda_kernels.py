"""The pass of kernels.py on NVIDIA GPUs: one replicate is one block of threads.

Samples are taken SAMPLES at a time, so that h stays in the multiprocessor's shared memory. Forward,
a thread has one sample and every so many units, and a residual is a sum over the threads that share
its sample. Back, a thread has at most two units, whose sums over the samples it keeps in registers;
so nothing is added twice over, and results do not depend on what else runs.

A multiprocessor takes half as many double-precision instructions as others; these limit the pass as
long as the others are fewer. Hence indices without a sign test, loads of two values, a reciprocal
without a branch (`_get`, `_pair`, `_put`, `_reciprocal`).
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from llvmlite import ir
from numba import config, cuda, float64, types
from numba.cuda.extending import intrinsic

from bnstudy.kernels import _PER_TANH, _Q0, _Q1, _Q2, _Q3, _Q4, _Q5, _ROUND

SAMPLES = 16  # half and twice as many are 7 % slower on an H200
_device: Any = partial(cuda.jit, device=True)
_DOUBLE, _BITS = ir.DoubleType(), ir.IntType(64)


def _pointer(context, builder, sig, args):
    return builder.gep(context.make_array(sig.args[0])(context, builder, args[0]).data, [args[1]])


@intrinsic
def _get(typingctx, array, i):
    """array[i]."""

    def generate(context, builder, sig, args):
        return builder.load(_pointer(context, builder, sig, args))

    return float64(array, i), generate


@intrinsic
def _pair(typingctx, array, i):
    """array[i] and array[i + 1], for an even i."""

    def generate(context, builder, sig, args):
        pair = ir.VectorType(_DOUBLE, 2).as_pointer()
        pointer = builder.bitcast(_pointer(context, builder, sig, args), pair)
        loaded = builder.load(pointer, align=16)
        values = [builder.extract_element(loaded, ir.Constant(ir.IntType(32), k)) for k in (0, 1)]
        return context.make_tuple(builder, sig.return_type, values)

    return types.UniTuple(float64, 2)(array, i), generate


@intrinsic
def _put(typingctx, array, i, value):
    """array[i] = value."""

    def generate(context, builder, sig, args):
        builder.store(args[2], _pointer(context, builder, sig, args))
        return context.get_dummy_value()

    return types.void(array, i, value), generate


@intrinsic
def _times_power(typingctx, value, shifted):
    """value · 2^k, by adding k to its exponent; the low bits of `shifted` hold k."""

    def generate(context, builder, sig, args):
        whole, k = (builder.bitcast(argument, _BITS) for argument in args)
        moved = builder.add(whole, builder.shl(k, ir.Constant(_BITS, 52)))
        return builder.bitcast(moved, _DOUBLE)

    return float64(float64, float64), generate


@intrinsic
def _reciprocal(typingctx, value):
    """1 / value, to the first twenty bits."""

    def generate(context, builder, sig, args):
        kind = ir.FunctionType(_DOUBLE, [_DOUBLE])
        return builder.asm(kind, "rcp.approx.ftz.f64 $0, $1;", "=d,d", args, False)

    return float64(float64), generate


@_device
def _tanh(u):
    """See kernels._tanh. The division is a reciprocal, once refined to the third order."""
    u = -64.0 if u < -64.0 else 64.0 if u > 64.0 else u
    shifted = u + _ROUND
    f = u - (shifted - _ROUND)
    f2 = f * f
    q = cuda.fma(cuda.fma(cuda.fma(f2, _Q5, _Q4), f2, _Q3), f2, _Q2)
    q = cuda.fma(cuda.fma(q, f2, _Q1), f2, _Q0)
    low = q - f
    high = _times_power(q + f, shifted)
    total = high + low
    inverse = _reciprocal(total)
    error = cuda.fma(-total, inverse, 1.0)
    return (high - low) * cuda.fma(cuda.fma(error, error, error), inverse, inverse)


@_device
def _activation(units, k, x0, x1, x2):
    """tanh of the unit whose eight numbers begin at k."""
    (w0, w1), (w2, a) = _pair(units, k), _pair(units, k + 2)
    return _tanh(cuda.fma(x0, w0, cuda.fma(x1, w1, cuda.fma(x2, w2, a))))


@_device
def _outputs(units, k, value, e):
    """e + h V of that unit."""
    V0, V1 = _pair(units, k + 4)
    V2 = _get(units, k + 6)
    return cuda.fma(value, V0, e[0]), cuda.fma(value, V1, e[1]), cuda.fma(value, V2, e[2])


@_device
def _back(units, k, value, x, e, sums):
    """A sample's share of half of ∂L/∂A, ∂L/∂a, ∂L/∂V of that unit, added to its seven sums."""
    V0, V1 = _pair(units, k + 4)
    delta = cuda.fma(e[0], V0, cuda.fma(e[1], V1, e[2] * _get(units, k + 6)))
    delta *= cuda.fma(-value, value, 1.0)
    s0, s1, s2 = cuda.fma(delta, x[0], sums[0]), cuda.fma(delta, x[1], sums[1]), sums[2]
    s4, s5, s6 = cuda.fma(value, e[0], sums[4]), cuda.fma(value, e[1], sums[5]), sums[6]
    return s0, s1, cuda.fma(delta, x[2], s2), sums[3] + delta, s4, s5, cuda.fma(value, e[2], s6)


@_device
def _times(covariance, r, k, w):
    """Row k of C w."""
    C = covariance[r, k]
    return C[0] * w[0] + C[1] * w[1] + C[2] * w[2]


@cache
def _kernel(width: int, norm: tuple[bool, bool] | None, training: bool) -> tuple[Any, int, int]:
    """The kernel for networks of a shape, its threads and its bytes of shared memory.

    norm: `centre` and `divide` of BatchNorm, or None.
    """
    centre, divide = norm or (False, False)
    threads = max(64, -(-width // 64) * 32)
    groups, row = threads // SAMPLES, width | 1  # odd: else all samples lie in the same banks
    to_h = 8 * width
    to_x = to_h + (max(SAMPLES * row, 8 * width) + 1 if training else 0) // 2 * 2
    to_e = to_x + 8 * SAMPLES
    to_norm = to_e + 3 * threads
    # without the bound a wide network's threads would want more registers than there are
    bound = {} if config.ENABLE_CUDASIM else {"launch_bounds": threads}

    @cuda.jit(**bound)
    def squared_error(
        samples, start, stop, mean, covariance, theta, momentum, epsilon, running_mean, running_std,
        gtheta, losses,
    ):  # fmt: skip
        shared = cuda.shared.array(0, float64)
        units, h, x = shared, shared[to_h:], shared[to_x:]
        e, offsets, stds = shared[to_e:], shared[to_norm:], shared[to_norm + width :]
        r, t = cuda.blockIdx.x, cuda.threadIdx.x
        sample, group = t % SAMPLES, t // SAMPLES
        bias = theta.shape[1] - 3
        V = bias - 3 * width
        for j in range(t, width, threads):
            w = theta[r, j], theta[r, width + j], theta[r, 2 * width + j]
            gain, a = 1.0, theta[r, 3 * width + j]
            if norm is not None:
                offset, std = a - running_mean[r, j], running_std[r, j]
                if training and centre:
                    projected = mean[r, 0] * w[0] + mean[r, 1] * w[1] + mean[r, 2] * w[2]
                    offset, moved = -projected, (1 - momentum) * (projected + a)
                    running_mean[r, j] = momentum * running_mean[r, j] + moved
                if training and divide:
                    variance = epsilon
                    for k in range(3):
                        variance += w[k] * _times(covariance, r, k, w)
                    std = math.sqrt(variance)
                    running_std[r, j] = momentum * running_std[r, j] + (1 - momentum) * std
                offsets[j], stds[j] = offset, std
                gain = theta[r, 4 * width + j] / std
                a = theta[r, 5 * width + j] + offset * gain
            for k in range(3):
                units[8 * j + k] = _PER_TANH * (theta[r, k * width + j] * gain)
                units[8 * j + 4 + k] = theta[r, V + 3 * j + k]
            units[8 * j + 3] = _PER_TANH * a
        first, second = t, min(t + threads, width - 1)
        ours = theirs = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        loss = residuals = 0.0
        for at in range(start, stop, SAMPLES):
            m = min(SAMPLES, stop - at)
            for i in range(t, 6 * SAMPLES, threads):
                s, k = i % SAMPLES, i // SAMPLES
                x[8 * s + k] = samples[r, k, at + s] if s < m else 0.0
            cuda.syncthreads()
            x0, x1 = _pair(x, 8 * sample)
            x2 = _get(x, 8 * sample + 2)
            y = (0.0, 0.0, 0.0)
            j = group
            while j + groups < width:  # two at a time: the processor waits less
                k, to = 8 * j, sample * row + j
                one = _activation(units, k, x0, x1, x2)
                two = _activation(units, k + 8 * groups, x0, x1, x2)
                y = _outputs(units, k + 8 * groups, two, _outputs(units, k, one, y))
                if training:
                    _put(h, to, one)
                    _put(h, to + groups, two)
                j += 2 * groups
            if j < width:
                one = _activation(units, 8 * j, x0, x1, x2)
                y = _outputs(units, 8 * j, one, y)
                if training:
                    _put(h, sample * row + j, one)
            for k in range(3):
                e[(3 * group + k) * SAMPLES + sample] = y[k]
            cuda.syncthreads()
            if t < 3 * SAMPLES:  # output `group`
                residual = theta[r, bias + group] - x[8 * sample + 3 + group]
                for g in range(groups):
                    residual += e[(3 * g + group) * SAMPLES + sample]
                if sample >= m:
                    residual = 0.0
                x[8 * sample + 3 + group] = residual
                loss += residual * residual
                residuals += residual
            cuda.syncthreads()
            if training and first < width:
                for s in range(SAMPLES):
                    (x0, x1), (x2, e0) = _pair(x, 8 * s), _pair(x, 8 * s + 2)
                    e1, e2 = _pair(x, 8 * s + 4)
                    inputs, errors = (x0, x1, x2), (e0, e1, e2)
                    value = _get(h, s * row + first)
                    ours = _back(units, 8 * first, value, inputs, errors, ours)
                    if threads < width:
                        value = _get(h, s * row + second)
                        theirs = _back(units, 8 * second, value, inputs, errors, theirs)
            cuda.syncthreads()
        if t < 3 * SAMPLES:
            e[t], e[3 * SAMPLES + t] = loss, residuals
        if training:
            for k in range(7):
                if first < width:
                    h[8 * first + k] = 2.0 * ours[k]
                if t + threads < width:
                    h[8 * second + k] = 2.0 * theirs[k]
        cuda.syncthreads()
        if t == 0:
            loss = 0.0
            for i in range(3 * SAMPLES):
                loss += e[i]
            losses[r] = loss
        if training:
            if t < 3:
                residuals = 0.0
                for i in range(SAMPLES):
                    residuals += e[(3 + t) * SAMPLES + i]
                gtheta[r, bias + t] = 2.0 * residuals
            for j in range(t, width, threads):
                g, ga = (h[8 * j], h[8 * j + 1], h[8 * j + 2]), h[8 * j + 3]
                gain, along, std, gb = 1.0, 0.0, 1.0, ga
                w = theta[r, j], theta[r, width + j], theta[r, 2 * width + j]
                if norm is not None:
                    std = stds[j]
                    gain = theta[r, 4 * width + j] / std
                    ggain = g[0] * w[0] + g[1] * w[1] + g[2] * w[2] + offsets[j] * ga
                    gtheta[r, 4 * width + j], gtheta[r, 5 * width + j] = ggain / std, ga
                    gb = 0.0 if centre else gain * ga
                    along = -ggain * gain / (std * std)
                gtheta[r, 3 * width + j] = gb
                for k in range(3):
                    gw = g[k] - mean[r, k] * ga if centre else g[k]
                    gw *= gain
                    if divide:
                        gw += along * _times(covariance, r, k, w)
                    gtheta[r, k * width + j] = gw
                    gtheta[r, V + 3 * j + k] = h[8 * j + 4 + k]

    return squared_error, threads, 8 * (to_norm + 2 * width * (norm is not None))


def launcher(
    width: int, norm: tuple[bool, bool] | None, training: bool, arguments: Sequence[Any]
) -> Callable[[Any], None]:
    """The kernel, compiled, as a function of the stream to launch it on.

    arguments, arrays on the device but for numbers: samples (R, 6, …), start, stop, the moments of
    the inputs (see `kernels.moments`), theta (R, P), BN's momentum, epsilon and running values
    (R, width); and what it fills: gradients (R, P), if training, and losses (R,). What of it
    belongs to BN is not looked at without it.
    """
    kernel, threads, size = _kernel(width, norm, training)
    if not config.ENABLE_CUDASIM:
        from numba.cuda.cudadrv.driver import binding, driver

        kernel = kernel.specialize(*arguments)
        # Numba itself allows no more than 48 KiB
        function = next(iter(kernel.overloads.values()))._codelibrary.get_cufunc()
        limit = binding.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        driver.cuKernelSetAttribute(limit, size, function.handle, function.device.id)
    return lambda stream: kernel[len(arguments[-1]), threads, stream, size](*arguments)
