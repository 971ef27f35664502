"""Two networks on the digits: validation loss by epoch, and ratio of the epochs to a threshold."""

import pandas as pd
from matplotlib.figure import Figure

from bnstudy.config.models import StudySettings
from bnstudy.report import two_networks

TITLE = "Two networks on digits"
CAPTION = (
    "Above: validation cross-entropy of a dense and of a convolutional network on 8 × 8 digits, "
    "each arm at its own learning rate, median and quartiles over {digits_seeds}. Below: ratio of "
    "the epochs needed to reach the dashed loss ({digits.threshold:g}), with BN over without: a "
    "grey dot per seed, geometric mean and {level} interval."
)
TABLES = ("digits.csv", "digits_curves.csv", "significance.csv")


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`digits_curves`, `digits`, `significance`: see `two_networks.draw`."""
    tests = tables["significance"]
    primary = tests[tests.role == "primary"]
    return two_networks.draw(tables["digits"], tables["digits_curves"], primary)
