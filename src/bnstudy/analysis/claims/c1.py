"""C1: faster. Epochs until the train loss is at or below a threshold; never: the budget."""

CLAIM = "C1"
WORDS = "BN makes the model converge faster"
HYPOTHESIS = "H1"
RULE = "lower"
FIGURE = "epochs_ratio"
PARTS = {
    "H1": {
        "column": "epochs_to",
        "quantity": "epochs to train loss {threshold:g}",
        "phrase": "the number of epochs needed to reach a train loss of {threshold:g}",
        "diverged": "slowest",
        "trend": "epochs to the primary threshold",
    }
}
