"""The yardstick: the whole loop written by hand in C++, see handwritten.cpp; needs a C++ compiler.

One replicate after another, all epochs of each: its data and weights stay in the cache.
"""

import ctypes
import functools
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.problem import BATCH_NORM, LEARNING_RATE, Run, per_sample, tensors_of, weights_of
from bnstudy.experiment.layers import Moments

SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = ["-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno"]


@functools.cache
def compiled():
    """The C++ function. FileNotFoundError without a compiler; CXX may name one."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "handwritten.so"
        compiler = os.environ.get("CXX", "g++")
        command = [compiler, *FLAGS, "-shared", "-fPIC", "-o", library, SOURCE]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(library)).train


def prepare(arm: str, width: int, replicates: int) -> Run:
    """The arms none and batch; float64, one thread."""
    train = compiled()
    x, t, test_x, test_t = tensors_of(range(replicates))
    moments = Moments.of(x, BATCH_NORM["correction"])
    W, b, V, c = weights_of(width, replicates)
    normalised = arm == "batch"
    extra = [torch.ones_like(b), torch.zeros_like(b)] if normalised else []
    rows = torch.cat([part.flatten(1) for part in (W, b, *extra, V, c)], dim=1).numpy()
    first, second = np.zeros_like(rows), np.zeros_like(rows)
    running = np.stack([np.zeros((replicates, width)), np.ones((replicates, width))], axis=1)
    data = [np.ascontiguousarray(tensor.mT.numpy()) for tensor in (x, t, test_x, test_t)]
    mean, covariance = (moment.contiguous().numpy() for moment in moments)
    done = 0

    def run(epochs: int) -> np.ndarray:
        nonlocal done
        losses = np.empty((2, replicates, epochs))
        for r in range(replicates):
            train(
                ctypes.c_int(width),
                ctypes.c_int(normalised),
                ctypes.c_int64(epochs),
                ctypes.c_int64(done),
                ctypes.c_double(LEARNING_RATE),
                ctypes.c_int(x.shape[1]),
                *map(_pointer, (data[0][r], data[1][r])),
                ctypes.c_int(test_x.shape[1]),
                *map(_pointer, (data[2][r], data[3][r])),
                ctypes.c_double(BATCH_NORM["momentum"]),
                ctypes.c_double(BATCH_NORM["epsilon"]),
                *map(_pointer, (mean[r], covariance[r], running[r])),
                ctypes.c_int(rows.shape[1]),
                *map(_pointer, (rows[r], first[r], second[r], losses[0, r], losses[1, r])),
            )
        done += epochs
        return per_sample(*losses)

    return run


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)
