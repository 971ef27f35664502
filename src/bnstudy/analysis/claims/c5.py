"""C5: any layer. Epochs until the validation loss is at or below a threshold, each arm at its own
learning rate, of a dense and of a convolutional network, and whether BN does the same to both."""

from bnstudy.analysis.hypotheses import LOWER, SAME, TUNED, Comparison
from bnstudy.config.models import Analysis

CLAIM = "C5"
WORDS = "BN suits fully connected and convolutional layers alike"
FIGURE = "digits"


def comparisons(analysis: Analysis) -> list[Comparison]:
    """Neither slower; and the ratio of the two ratios the same."""
    epochs = "epochs to the validation loss on digits"
    return [
        Comparison(TUNED, "epochs", f"{epochs}, {words}", "epochs", allows, table="digits", of=of)
        for of, words, allows in (
            ("dense", "dense network", (LOWER, SAME)),
            ("convolutional", "convolutional network", (LOWER, SAME)),
            ("interaction", "convolutional over dense", (SAME,)),
        )
    ]
