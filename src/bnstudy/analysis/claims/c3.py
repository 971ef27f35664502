"""C3: other features. The share of saturated hidden values and the effective rank of the features,
both at the end, on the test points."""

CLAIM = "C3"
WORDS = "BN changes the distribution of the features and so can adjust model complexity"
HYPOTHESIS = "H3"
RULE = "moved"
FIGURE = "features"
PARTS = {
    "H3a": {
        "column": "final_saturated_share",
        "quantity": "share of saturated hidden values",
        "phrase": "the share of saturated hidden values (median {median_batch:.3g} against "
        "{median_none:.3g})",
        "diverged": "left out",
    },
    "H3b": {
        "column": "final_effective_rank",
        "quantity": "effective rank of the hidden features",
        "phrase": "the effective rank of the hidden features (median {median_batch:.3g} against "
        "{median_none:.3g})",
        "diverged": "left out",
    },
}
