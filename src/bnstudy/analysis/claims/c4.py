"""C4: steadier gradients. The per-layer factor of the gradient at initialisation in deep stacks, as
|ln factor|, with unscaled weights and with weights scaled by 1/√fan-in."""

CLAIM = "C4"
WORDS = "BN keeps features near the origin, so gradients are less prone to vanish or explode"
HYPOTHESIS = "H4"
RULE = "lower"
FIGURE = "gradient_depth"
PARTS = {
    "H4a": {
        "table": "gradients",
        "of": "unscaled",
        "quantity": "per-layer factor of the gradient, unscaled weights",
        "phrase": "the gradient's growth or decay a layer (the factor, or its inverse where that "
        "is above 1) in deep stacks with unscaled weights (median factor {median_batch:.2f} "
        "against {median_none:.2f})",
    },
    "H4b": {
        "table": "gradients",
        "of": "fan-in",
        "quantity": "per-layer factor of the gradient, 1/√fan-in scaled weights",
        "phrase": "the same with weights scaled by 1/√fan-in (median factor {median_batch:.2f} "
        "against {median_none:.2f})",
    },
}
