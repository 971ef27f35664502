"""What tuning seeds choose: of the candidates tried, the one with the best outcome."""

import numpy as np
import pandas as pd


def ranked(outcomes: pd.DataFrame) -> pd.DataFrame:
    """One row per candidate, in their order, from the logarithms of their outcomes: one row per
    seed, one column per candidate, infinite where a run diverged.

    Columns: the candidate; score, the geometric mean of the outcome; seeds and diverged, numbers of
    runs; rank, of equal scores the first candidate's being the better; over_best, the score over
    the best one.
    """
    means = outcomes.mean().to_numpy()
    order = np.argsort(means, kind="stable")
    table = outcomes.columns.to_frame(index=False)
    table["score"] = np.exp(means)
    table["seeds"] = len(outcomes)
    table["diverged"] = np.isinf(outcomes.to_numpy()).sum(axis=0)
    table["rank"] = np.argsort(order) + 1
    table["over_best"] = table.score / table.score[order[0]]
    return table
