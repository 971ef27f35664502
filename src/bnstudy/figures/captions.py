"""What the reader sees in each figure: one sentence or two, for pages and reports."""

CAPTIONS = {
    "loss_curves": "The article's figure (left: width 300, seed 0), and beside it the median and "
    "quartiles over all seeds of the study. Red: with BN, blue: without; solid: train, dashed: "
    "test.",
    "final_loss_ratio": "Ratio of final test losses, with BN over without, against width. A dot a "
    "seed; Hodges-Lehmann estimate with its interval; the grey band counts as the same.",
    "epochs_ratio": "Ratio of the epochs needed to reach a train loss, with BN over without, "
    "geometric mean and interval, a line a width. Below 1, BN is faster; where a line crosses 1, "
    "the loss curves cross. Open markers: not all runs got there.",
    "survival": "Share of runs that have not yet reached a train loss, against epoch "
    "(Kaplan-Meier), by width.",
    "profiles": "Performance profiles: share of runs whose final test loss is at most τ, with "
    "pointwise intervals, by width.",
    "arms": "Four arms against none: BN itself, BN started from none's function (parametrisation "
    "alone), and no BN started from BN's function (initialisation alone). Geometric mean ratios "
    "with intervals.",
    "gradient_depth": "Norm of the loss's gradient at each layer of a 50-layer tanh stack at "
    "initialisation, relative to the last layer: median and quartiles over seeds.",
    "features": "Hidden features on the test points while training: mean |z|, share of saturated "
    "values, effective rank; median and quartiles over seeds. In evaluation mode: during the first "
    "dozens of epochs BN's running values still lag behind.",
    "digits": "Dense and convolutional network on 8 × 8 digits: validation loss by epoch, and "
    "ratio of the epochs needed to reach the dashed loss.",
    "final_window": "Last epoch's test loss over the median of the closing window: the noise that "
    "the window avoids. A dot a run.",
    "horizon": "Extended study: ratio of test losses, with BN over without, against epoch, far "
    "beyond the article's end; geometric mean and interval.",
    "settings_ratio": "Extended study: BN's effect when one setting is changed; geometric mean "
    "ratio and interval, on the extended study's seeds.",
}
