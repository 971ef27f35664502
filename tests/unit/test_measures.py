"""Curves to one number a run."""

import numpy as np

from bnstudy.measures import epochs_to, final_loss, log_spaced_epochs


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
