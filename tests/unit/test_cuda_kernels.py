"""The kernel for GPUs against the one for CPUs, in numba-cuda's simulation: no GPU is needed.

The simulation runs the kernel's Python source with threads. What it cannot run, the instructions of
the processor (`_pair` and the like), stands here as what those mean. How fast the kernel is, and
that it fits the registers, shows only on a card: `make bench-gpu`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SIMULATED = """
import math, sys
import numpy as np
from bnstudy import cuda_kernels as gpu
from bnstudy.experiment.evaluators import CudaEvaluator, KernelEvaluator
from jobs import training_of

gpu._get = lambda array, i: array[i]
gpu._pair = lambda array, i: (array[i], array[i + 1])
gpu._put = lambda array, i, value: array.__setitem__(i, value)
gpu._times_power = lambda value, shifted: math.ldexp(value, int(shifted - gpu._ROUND))
gpu._reciprocal = lambda value: float(np.float32(1 / value))  # has to be refined as well

arm, width = sys.argv[1], int(sys.argv[2])
told = []
for evaluator in (CudaEvaluator, KernelEvaluator):
    training = training_of(arm, width, [1, 2], sizes=(37, 20))
    network, theta, gradients = training.network, training.parameters, training.gradients
    gradients.fill_(np.nan)
    # the batch is moved: its samples begin neither at 0 nor at a multiple of what is taken at once
    batch = training.batches.batches[0]
    batch.start = 3
    batch.inputs, batch.targets = batch.inputs[:, 3:], batch.targets[:, 3:]
    losses = evaluator(network, theta, gradients).train(batch)().clone()
    tested = evaluator(network, theta, gradients).test(batch)()
    told.append([x.numpy() for x in (losses, tested, gradients, *network.buffers())])
for ours, theirs in zip(*told, strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="numba-cuda is not made for macOS")
@pytest.mark.parametrize(
    ("arm", "width"), [("none", 3), ("batch", 3), ("centred", 2), ("scaled", 2), ("batch", 67)]
)
def test_the_kernel_for_gpus_is_that_for_cpus(arm, width):
    """Losses, gradients and running values of a batch, to rounding. At 67: two units a thread."""
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parent)
    command = [sys.executable, "-c", SIMULATED, arm, str(width)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
