"""The same two networks on MNIST-1D."""

import pandas as pd
from matplotlib.figure import Figure

from bnstudy.config.models import StudySettings
from bnstudy.report import two_networks

TITLE = "Two networks on MNIST-1D"
CAPTION = (
    "Above: validation cross-entropy of a dense and of a convolutional network on MNIST-1D, "
    "each arm at its own learning rate, median and quartiles over {mnist1d_seeds}. Below: ratio of "
    "the epochs needed to reach the dashed loss ({mnist1d.threshold:g}), with BN over without: a "
    "grey dot per seed, geometric mean and {level} interval; exploratory."
)
TABLES = ("mnist1d.csv", "mnist1d_curves.csv", "significance.csv")


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`mnist1d_curves`, `mnist1d`, `significance`: see `two_networks.draw`."""
    tests = tables["significance"]
    exploratory = tests[tests.role == "exploratory"]
    return two_networks.draw(tables["mnist1d"], tables["mnist1d_curves"], exploratory)
