"""Learning rates over the steps of a run, and the epochs at which snapshots are taken."""

import math

import numpy as np
from jaxtyping import Int64


def rate(schedule: str, learning_rate: float, step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0, in a budget of `steps`.

    `constant`, or `cosine` from the given rate to zero over the budget (Loshchilov & Hutter 2017,
    without restarts). KeyError for another name.
    """
    match schedule:
        case "constant":
            return learning_rate
        case "cosine":
            return learning_rate * (1 + math.cos(math.pi * step / max(steps, 1))) / 2
    raise KeyError(schedule)


def log_spaced_epochs(epochs: int, points: int) -> Int64[np.ndarray, " epoch"]:
    """At most `points` epochs in [0, epochs), evenly spaced in log(1 + epoch), ends included; none
    of 0 points.

    Sorted and distinct. Where log spacing would put several points on one epoch (the first dozens),
    that epoch is named once, so the result can be shorter than `points`.
    """
    return np.unique(np.rint(np.geomspace(1, epochs, points)).astype(int)) - 1
