"""The datasets: the original's stream, the formulas, the analytic thresholds."""

import numpy as np
import pytest
from jobs import RANGES, data_of

from bnstudy.config import members
from bnstudy.experiment.data import (
    ARTICLE_VARIANCE,
    INPUTS,
    make_data,
    numerical_jacobian,
    read_data,
    scaled,
    task_jacobian,
    thresholds,
    variances,
    write_data,
)
from bnstudy.experiment.tasks.article import jacobian, targets


def test_the_draw_order_is_the_originals():
    data = data_of([0], 4, 2)
    np.random.seed(0)  # noqa: NPY002
    train = [np.random.uniform(-1, 1, 4) for _ in range(3)]  # noqa: NPY002
    test = [np.random.uniform(-1, 1, 2) for _ in range(3)]  # noqa: NPY002
    np.testing.assert_array_equal(data.train_inputs[0], np.transpose(train))
    np.testing.assert_array_equal(data.test_inputs[0], np.transpose(test))


def test_the_targets():
    np.testing.assert_allclose(targets(np.array([1.0, -2.0, 0.5])), [-1.5, 9.75, 2.5])


def test_a_dataset_depends_on_its_seed_alone():
    both, alone = data_of([3, 7], 20, 10), data_of([7], 20, 10)
    np.testing.assert_array_equal(both.select([7]).train_inputs, alone.train_inputs)
    assert both.digests()[7] == alone.digests()[7] != both.digests()[3]


def test_ranges_are_respected():
    data = make_data(
        [1], "article", "plain", train_size=1000, test_size=10, ranges=RANGES | {"g": [2.0, 3.0]}
    )
    assert data.train_inputs[0, :, 1].min() >= 2
    assert data.train_inputs[0, :, 0].min() < -0.9


def test_an_unknown_seed_is_an_error():
    with pytest.raises(KeyError):
        data_of([1], 5, 5).select([2])


def test_the_thresholds_of_the_config(default_config):
    """1016/45 and 56/45, derived in tasks/article.py, against a simulation of 10⁶ points.

    The sampling error of a variance from 10⁶ points is 0.1-0.2 %; 0.5 % allows three of it.
    """
    inputs = np.random.default_rng(1).uniform(-1, 1, (1_000_000, 3))
    y = targets(inputs)
    mean_only = y.var(axis=0).sum()
    design = np.column_stack([np.ones(len(inputs)), inputs])
    residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    linear = residual.var(axis=0).sum()
    np.testing.assert_allclose([mean_only, linear], [1016 / 45, 56 / 45], rtol=0.005)
    nominal = default_config["analysis"]["thresholds"]
    np.testing.assert_allclose(nominal[:2], [1016 / 45, 56 / 45], rtol=5e-4)
    np.testing.assert_allclose(nominal[2:], nominal[0] / np.array([100, 1000, 10000]))


def test_data_reads_back_and_has_the_same_bytes_each_time(tmp_path):
    data = data_of([4, 9], 30, 10)
    write_data(tmp_path / "a.npz", data)
    write_data(tmp_path / "b.npz", data)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert read_data(tmp_path / "a.npz").digests() == data.digests()


@pytest.mark.parametrize("inputs", INPUTS)
def test_what_the_network_sees_changes_the_inputs_alone(inputs):
    plain, seen = data_of([4], 30, 10), data_of([4], 30, 10, inputs=inputs)
    np.testing.assert_array_equal(seen.train_targets, plain.train_targets)
    expected = {
        "plain": lambda u: u,
        "shifted": lambda u: u + 3,
        "stretched": lambda u: u * [10, 1, 0.1],
    }[inputs]
    np.testing.assert_array_equal(seen.test_inputs, expected(plain.test_inputs))


@pytest.mark.parametrize("inputs", INPUTS)
def test_jacobians_are_with_respect_to_what_the_network_sees(inputs):
    """By central differences of the targets as functions of x, exact for polynomials of degree 2.

    Of sizes up to 50 and steps of 1e-3: rounding is below 1e-10.
    """
    u, step = np.random.default_rng(0).uniform(-1, 1, (5, 3)), 1e-3
    scale, shift = (np.array(part) for part in INPUTS[inputs])
    found = task_jacobian("article", inputs, u * scale + shift)
    for axis in range(3):
        e = step * np.eye(3)[axis] / scale
        difference = (targets(u + e) - targets(u - e)) / (2 * step)
        np.testing.assert_allclose(found[:, :, axis], difference, atol=1e-9)


def test_for_plain_inputs_the_jacobian_is_the_tasks_to_the_last_bit():
    x = np.random.default_rng(0).uniform(-1, 1, (50, 3))
    np.testing.assert_array_equal(task_jacobian("article", "plain", x), jacobian(x))


def test_the_mean_norm_of_the_targets_jacobian():
    """9.07, STUDY's number; E ‖J*‖² = 14 + 50 + 4·(1 + 4 + 9)/3 gives 9.10 as its upper bound."""
    x = np.random.default_rng(0).uniform(-1, 1, (200_000, 3))
    mean = np.linalg.norm(jacobian(x), axis=(1, 2)).mean()
    assert mean == pytest.approx(9.07, abs=0.005)
    assert mean < np.sqrt(64 + 4 * 14 / 3)


def test_the_numerical_jacobian_is_the_derivative():
    """Of the article's targets to 1e-9, the rounding that the step leaves."""
    u = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    np.testing.assert_allclose(numerical_jacobian(targets, u), jacobian(u), atol=1e-9)


def test_scaled_targets_share_the_articles_variance():
    """sin of one input has the variance 1/2 - sin(2)/4 on [-1, 1]; the quadrature is exact."""
    np.testing.assert_allclose(variances(np.sin), 1 / 2 - np.sin(2) / 4, rtol=1e-13)
    np.testing.assert_allclose(variances(targets), [14 / 3, 56 / 45, 50 / 3], rtol=1e-13)
    np.testing.assert_allclose(variances(scaled(np.sin)), ARTICLE_VARIANCE / 3, rtol=1e-13)


def test_thresholds_are_fractions_of_the_tasks_variance(monkeypatch):
    nominal = [22.58, 1.244]
    assert thresholds("article", nominal) == {22.58: 22.58, 1.244: 1.244}
    member = members.load("tasks", "odd")
    monkeypatch.setattr(member, "VARIANCE", ARTICLE_VARIANCE / 2, raising=False)
    assert thresholds("odd", nominal) == {22.58: 11.29, 1.244: 0.622}
    monkeypatch.setattr(member, "THRESHOLDS", {1.244: 0.5}, raising=False)
    assert thresholds("odd", nominal) == {22.58: 11.29, 1.244: 0.5}


def test_label_noise_is_on_the_training_targets_alone():
    data = data_of([1, 2], 4000, 20)
    added = data.with_label_noise(0.5)
    noise = added.train_targets - data.train_targets
    assert noise.std() == pytest.approx(0.5, rel=0.02)  # 24,000 values: 3 standard errors
    assert noise.mean() == pytest.approx(0, abs=0.01)
    np.testing.assert_array_equal(added.test_targets, data.test_targets)
    assert data.with_label_noise(0.0) is data
