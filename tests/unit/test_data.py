"""The datasets: the original's stream, the formulas, the analytic thresholds."""

import numpy as np
import pytest

from bnstudy.data import make_data, targets

RANGES = {"r": [-1.0, 1.0], "g": [-1.0, 1.0], "b": [-1.0, 1.0]}


def test_the_draw_order_is_the_originals():
    data = make_data([0], 4, 2, RANGES)
    np.random.seed(0)  # noqa: NPY002
    train = [np.random.uniform(-1, 1, 4) for _ in range(3)]  # noqa: NPY002
    test = [np.random.uniform(-1, 1, 2) for _ in range(3)]  # noqa: NPY002
    np.testing.assert_array_equal(data.train_inputs[0], np.transpose(train))
    np.testing.assert_array_equal(data.test_inputs[0], np.transpose(test))


def test_the_targets():
    np.testing.assert_allclose(targets(np.array([1.0, -2.0, 0.5])), [-1.5, 9.75, 2.5])


def test_a_dataset_depends_on_its_seed_alone():
    both, alone = make_data([3, 7], 20, 10, RANGES), make_data([7], 20, 10, RANGES)
    np.testing.assert_array_equal(both.select([7]).train_inputs, alone.train_inputs)
    assert both.digests()[7] == alone.digests()[7] != both.digests()[3]


def test_ranges_are_respected():
    data = make_data([1], 1000, 10, RANGES | {"g": [2.0, 3.0]})
    assert data.train_inputs[0, :, 1].min() >= 2
    assert data.train_inputs[0, :, 0].min() < -0.9


def test_an_unknown_seed_is_an_error():
    with pytest.raises(KeyError):
        make_data([1], 5, 5, RANGES).select([2])


def test_the_thresholds_of_the_config(default_config):
    """1016/45 and 56/45, derived in bnstudy.data, against a simulation of 10⁶ points.

    The sampling error of a variance from 10⁶ points is 0.1-0.2 %; 0.5 % allows three of it.
    """
    inputs = np.random.default_rng(1).uniform(-1, 1, (1_000_000, 3))
    y = targets(inputs)
    mean_only = y.var(axis=0).sum()
    design = np.column_stack([np.ones(len(inputs)), inputs])
    residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    linear = residual.var(axis=0).sum()
    np.testing.assert_allclose([mean_only, linear], [1016 / 45, 56 / 45], rtol=0.005)
    thresholds = default_config["analysis"]["thresholds"]
    np.testing.assert_allclose(thresholds[:2], [1016 / 45, 56 / 45], rtol=5e-4)
    np.testing.assert_allclose(thresholds[2:], thresholds[0] / np.array([100, 1000, 10000]))
