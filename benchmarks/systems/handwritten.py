"""The yardstick: the whole loop written by hand in C++, see handwritten.cpp; needs a compiler.

One replicate after another, all epochs of each, so that its data and weights stay in the cache.
"""

import ctypes
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch

from benchmarks.problem import BATCH_NORM, LEARNING_RATE, Run, per_sample, tensors_of, weights_of
from bnstudy.experiment.layers import Moments

SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = ["-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno"]
LIBRARY = ["-shared", "-fPIC", "-fno-semantic-interposition"]  # the last: as fast as a program
ARRAY = np.ctypeslib.ndpointer(np.float64, flags="C_CONTIGUOUS")


@cache
def compiled():
    """The function `train` of handwritten.cpp, compiled once in a process.

    By g++, or what CXX names; FileNotFoundError where there is none.
    """
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "handwritten.so"
        command = [os.environ.get("CXX", "g++"), *FLAGS, *LIBRARY, "-o", library, SOURCE]
        subprocess.run(command, check=True)
        train = ctypes.CDLL(str(library)).train
    counts = [ctypes.c_int, ctypes.c_bool, ctypes.c_int64, ctypes.c_int64]
    train.argtypes = [*counts, *[ctypes.c_double] * 3, *[ctypes.c_int] * 3, *[ARRAY] * 12]
    train.restype = None
    return train


def prepare(arm: str, width: int, replicates: int) -> Run:
    """The arms none and batch; float64, one thread."""
    train = compiled()
    norm = arm == "batch"
    x, t, test_x, test_t = tensors_of(range(replicates))
    moments = Moments.of(x, BATCH_NORM["correction"])
    data = [tensor.mT.contiguous().numpy() for tensor in (x, t, test_x, test_t)]
    known = [moment.numpy() for moment in moments]
    W, b, V, c = weights_of(width, replicates)
    parts = (W, b, torch.ones_like(b), torch.zeros_like(b), V, c) if norm else (W, b, V, c)
    rows = torch.cat([part.flatten(1) for part in parts], dim=1).numpy()
    running = np.stack([np.zeros((replicates, width)), np.ones((replicates, width))], axis=1)
    state = [running, rows, np.zeros_like(rows), np.zeros_like(rows)]
    constants = LEARNING_RATE, BATCH_NORM["momentum"], BATCH_NORM["epsilon"]
    sizes = x.shape[1], test_x.shape[1], rows.shape[1]
    done = 0

    def run(epochs: int) -> np.ndarray:
        nonlocal done
        losses = np.empty((2, replicates, epochs))
        for replicate in range(replicates):
            arrays = (array[replicate] for array in (*data, *known, *state, *losses))
            train(width, norm, epochs, done, *constants, *sizes, *arrays)
        done += epochs
        return per_sample(*losses)

    return run
