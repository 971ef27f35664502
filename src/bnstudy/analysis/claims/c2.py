"""C2: to the same end. The final test loss, and the final mean ‖J - J*‖_F, J the network's Jacobian
and J* the target's."""

CLAIM = "C2"
WORDS = "BN has little influence on the value it converges to: model complexity hardly changes"
HYPOTHESIS = "H2"
RULE = "same"
FIGURE = "final_loss_ratio"
PARTS = {
    "H2a": {
        "column": "final_test_loss",
        "quantity": "final test loss",
        "phrase": "the final test loss",
        "diverged": "worst",
        "trend": "final test loss",
    },
    "H2b": {
        "column": "final_jacobian_error",
        "quantity": "error of the Jacobian",
        "phrase": "the error of the Jacobian (mean Frobenius norm over the test points)",
        "diverged": "worst",
    },
}
