"""C5: any layer. Epochs until the validation loss is at or below a threshold, of a dense and of a
convolutional network."""

CLAIM = "C5"
WORDS = "BN suits fully connected and convolutional layers alike"
HYPOTHESIS = "H5"
RULE = "lower"
FIGURE = "digits"
PARTS = {
    "H5a": {
        "table": "digits",
        "of": "dense",
        "quantity": "epochs to the validation loss, dense network on digits",
        "phrase": "the number of epochs a dense network needed on digits",
        "diverged": "slowest",
    },
    "H5b": {
        "table": "digits",
        "of": "convolutional",
        "quantity": "epochs to the validation loss, convolutional network on digits",
        "phrase": "the number of epochs a convolutional network needed on digits",
        "diverged": "slowest",
    },
}
