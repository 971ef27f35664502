"""What tuning seeds choose, of outcomes made to a known answer."""

import numpy as np
import pandas as pd

from bnstudy.experiment.choice import ranked


def test_the_candidates_are_ranked_by_their_geometric_means():
    """Three rates, two seeds each; the last one diverged once."""
    outcomes = pd.DataFrame({0.1: [8.0, 2.0], 0.01: [1.0, 4.0], 1.0: [0.1, np.inf]})
    outcomes.columns.name = "learning_rate"
    table = ranked(np.log(outcomes))
    assert table.learning_rate.tolist() == [0.1, 0.01, 1.0]
    np.testing.assert_allclose(table.score, [4, 2, np.inf])
    assert table["rank"].tolist() == [2, 1, 3] and table.diverged.tolist() == [0, 0, 1]
    assert table.seeds.tolist() == [2, 2, 2]
    np.testing.assert_allclose(table.over_best, [2, 1, np.inf])


def test_of_equal_candidates_the_first_is_the_better():
    """Of many: sorting that is not stable keeps the order of a few, by chance."""
    scores = np.arange(1000) % 3
    expected = pd.Series(scores).rank(method="first").astype(int)
    table = ranked(pd.DataFrame([scores.astype(float)]))
    assert table["rank"].tolist() == expected.tolist()
