"""Curves to one number a run."""

import numpy as np
import pytest
from made_up import runs

from bnstudy.analysis.outcomes import epochs_to, final_loss, grid_runs, thinned_epochs
from bnstudy.config.models import Study
from bnstudy.experiment.schedules import log_spaced_epochs


def test_final_loss_is_the_median_of_the_closing_window():
    losses = np.array([[9.0, 1, 2, 100], [9.0, 4, 5, 6]])
    np.testing.assert_array_equal(final_loss(losses, 3), [2, 5])
    np.testing.assert_array_equal(final_loss(losses, 500), [5.5, 5.5])


def test_a_diverged_run_ends_at_infinity():
    assert final_loss(np.array([1.0, np.nan]), 2) == np.inf
    assert final_loss(np.array([1.0, np.inf]), 2) == np.inf


def test_epochs_to_a_threshold():
    losses = np.array([[5.0, 2, 3, 1], [5.0, 4, 4, 4], [2.0, 9, 9, 9], [np.nan, np.nan, 2, 2]])
    epochs, reached = epochs_to(losses, 2.0)
    np.testing.assert_array_equal(epochs, [2, 4, 1, 3])
    np.testing.assert_array_equal(reached, [True, False, True, True])


def test_log_spaced_epochs():
    epochs = log_spaced_epochs(10_000, 290)
    assert epochs[0] == 0 and epochs[-1] == 9_999
    assert len(epochs) <= 290 and (np.diff(epochs) > 0).all()
    np.testing.assert_array_equal(log_spaced_epochs(1, 290), [0])


def test_thinned_epochs_are_all_of_a_short_run_and_few_of_a_long_one():
    np.testing.assert_array_equal(thinned_epochs(900), np.arange(900))
    epochs = thinned_epochs(1_000_000)
    assert epochs[0] == 0 and epochs[-1] == 999_999
    assert 1000 <= len(epochs) <= 1300 and (np.diff(epochs) > 0).all()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 99},
        {"batch_size": 50},
        {"batch_size": "50"},
        {"learning_rate": 0.01},
        {"task": "odd"},
        {"label_noise": 0.1},
        {"epochs": 20_000},
    ],
    ids=str,
)
def test_the_grid_is_what_the_defaults_and_the_studys_seeds_say(config, change):
    study = Study.from_config(config)
    made = runs(study.analysis, arms=("batch", "dropout"), count=3)
    assert len(grid_runs(made, study)) == len(made) == 2 * 3 * 3
    assert grid_runs(made.assign(**change), study).empty


@pytest.mark.parametrize("size", [50, "50"])
def test_a_batch_size_may_be_read_as_a_number_or_a_text(config, size):
    config["defaults"]["batch_size"] = 50
    study = Study.from_config(config)
    made = runs(study.analysis, count=3)
    assert len(grid_runs(made.assign(batch_size=size), study)) == len(made)
    assert grid_runs(made, study).empty
