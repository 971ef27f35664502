"""The benchmark compares like with like: every system trains the same networks."""

import shutil

import numpy as np
import pytest
import torch

from benchmarks.systems import SYSTEMS


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def losses(system: str, arm: str, width: int = 20, replicates: int = 2, epochs: int = 5):
    """(2, R, epochs), trained in two goes."""
    run = SYSTEMS[system].prepare(arm, width, replicates)
    first = epochs // 2
    return np.concatenate([run(first), run(epochs - first)], axis=2)


def assert_same(theirs: np.ndarray, ours: np.ndarray) -> None:
    """Train losses to 1e-9, test losses to 1e-6.

    Where BN is not written as an affine map, the gradient of the bias before it is rounding noise
    where it should be 0; Adam makes steps of it, which the running mean follows with a lag (see
    test_training).
    """
    np.testing.assert_allclose(theirs[0], ours[0], rtol=1e-9)
    np.testing.assert_allclose(theirs[1], ours[1], rtol=1e-6)


@pytest.mark.parametrize("arm", ["none", "batch"])
@pytest.mark.parametrize("system", ["original", "vmap", "jax", "jax-folded"])
def test_a_system_trains_the_same_networks(system, arm):
    if system.startswith("jax"):
        pytest.importorskip("jax", reason="the extra `bench` is not installed")
    assert_same(losses(system, arm), losses("ours", arm))


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
@pytest.mark.parametrize("width", [1, 20, 300])
@pytest.mark.parametrize("arm", ["none", "batch"])
def test_the_handwritten_loop_trains_the_same_networks(arm, width):
    """At widths where a block holds all kinds of numbers of samples."""
    assert_same(losses("handwritten", arm, width), losses("ours", arm, width))


def test_pytorchs_modules_train_the_same_networks_without_bn():
    np.testing.assert_allclose(losses("modules", "none"), losses("ours", "none"), rtol=1e-9)


def test_pytorchs_own_bn_trains_nearly_the_same_networks():
    """It divides by n where the article divides by n - 1, and averages variances."""
    theirs, ours = losses("modules", "batch"), losses("ours", "batch")
    np.testing.assert_allclose(theirs[0], ours[0], rtol=2e-3)
    np.testing.assert_allclose(theirs[1], ours[1], rtol=0.1)
    assert not np.allclose(theirs[0], ours[0], rtol=1e-6)


@pytest.mark.parametrize("arm", ["none", "batch"])
def test_the_compiled_epoch_trains_the_same_networks_when_run_uncompiled(arm):
    """The C++ compiler takes too long for here."""
    with torch.compiler.set_stance("force_eager"):
        assert_same(losses("compile", arm), losses("ours", arm))


@pytest.mark.parametrize("arm", ["none", "batch"])
def test_the_limit_computes_the_losses_of_the_initial_weights(arm):
    """The first train loss; without BN, nothing else is comparable."""
    limit, ours = losses("limit", arm), losses("ours", arm)
    np.testing.assert_allclose(limit[0], np.repeat(ours[0, :, :1], 5, axis=1), rtol=1e-12)
    assert np.ptp(limit[1], axis=1).max() == 0
