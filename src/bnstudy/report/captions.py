"""What the reader sees in each figure and table: one source for paper, report and claims page."""

from typing import NamedTuple

from bnstudy.study import Study


class Caption(NamedTuple):
    """A title, and what the reader sees; says nothing about how it came out."""

    title: str
    text: str


# {…}: settings of the study, filled in by `captions`.
CAPTIONS = {
    "loss_curves": Caption(
        "Loss curves, of one run and of all",
        "Left: the article's own figure, one run at width {study.original.width}, seed "
        "{study.original.seed}. Right: the same width over the study's {seeds}; median (line) and "
        "quartiles (band). Loss per sample, logarithmic. Red: with BN; blue: without. Solid: "
        "train; dashed: test.",
    ),
    "final_loss_ratio": Caption(
        "Ratio of final test losses",
        "With BN over without, against width, both axes logarithmic; below 1, the network with BN "
        "ends lower. A grey dot a pair of runs; beside them the Hodges–Lehmann estimate and its "
        "{level} interval. A final loss is the median over the last {study.analysis.final_window} "
        "epochs. The grey band, within a factor of {study.analysis.equivalence_margin:g}, counts "
        "as the same.",
    ),
    "epochs_ratio": Caption(
        "Ratio of epochs needed",
        "Epochs until the train loss is at or below a threshold, with BN over without: geometric "
        "mean over {seeds} and {level} interval, a line a width. Training goes from left to right. "
        "Below 1, BN was faster to that loss; where a line crosses 1, the loss curves cross. Open "
        "markers: not every run got there, and those that did not count with the budget of "
        "{study.training.epochs:,} epochs.",
    ),
    "survival": Caption(
        "Runs still on their way",
        "Share of runs whose train loss has not yet come down to a threshold, against the epoch "
        "(Kaplan–Meier estimate, {seeds} an arm), a panel a width. A curve that does not reach 0 "
        "ends at the share of runs that never got there.",
    ),
    "profiles": Caption(
        "Performance profiles of final test losses",
        "Share of runs whose final test loss is at most τ, with pointwise {level} intervals, a "
        "panel a width ({seeds} an arm). The higher curve is the better arm at that τ; where "
        "curves cross, neither is better throughout.",
    ),
    "arms": Caption(
        "Parametrisation against initialisation",
        "Ratio to the network without BN of the epochs needed to each threshold (left of the "
        "line) and of the final test loss (right); geometric mean over {seeds} and {level} "
        "interval. Beside BN itself: BN that starts from the function of the network without BN "
        "(its parametrisation alone), and no BN started from the function of the network with BN "
        "(its initialisation alone).",
    ),
    "gradient_depth": Caption(
        "Gradients against depth at initialisation",
        "Norm of the loss's gradient at the input of each tanh of a stack of "
        "{study.probes.depth.depth} hidden layers of {study.probes.depth.width} units, relative to "
        "the last layer's; median and quartiles over {seeds}. A flat line neither vanishes nor "
        "explodes. The numbers are the factor a layer on the way back (geometric mean).",
    ),
    "features": Caption(
        "Hidden features while training",
        "On the test points, at width {study.original.width}: mean absolute pre-activation, share "
        "of values with |tanh| above {study.measures.saturation:g}, effective rank; median and "
        "quartiles over {seeds}. In evaluation mode: in the first dozens of epochs BN's running "
        "values still lag behind.",
    ),
    "digits": Caption(
        "Two networks on digits",
        "Above: validation cross-entropy of a dense and of a convolutional network on 8 × 8 "
        "digits, median and quartiles over {seeds}. Below: ratio of the epochs needed to reach the "
        "dashed loss ({study.probes.digits.threshold:g}), with BN over without: a grey dot a seed, "
        "geometric mean and {level} interval.",
    ),
    "final_window": Caption(
        "Why a closing window",
        "Test loss of the last epoch over the median of the last {study.analysis.final_window}, a "
        "dot a run: the noise that a final loss taken from one epoch would carry, by width and "
        "arm.",
    ),
    "horizon": Caption(
        "Beyond the article's end",
        "Ratio of test losses (medians over {study.analysis.final_window} epochs), with BN over "
        "without, against the number of epochs, up to {study.extended.horizon.epochs:,}: geometric "
        "mean and {level} interval over {extended_seeds}, a line a width. The grey band counts as "
        "the same.",
    ),
    "settings_ratio": Caption(
        "BN's effect under other settings",
        "Ratio with BN over without when one setting is changed, of the final test loss and of the "
        "epochs to the primary threshold: geometric mean and {level} interval over "
        "{extended_seeds}. On top, for comparison, the default settings on the same seeds.",
    ),
}

# The tables that the report shows.
TABLES = {
    "claims": Caption(
        "Claims", "One row a claim of the article: verdict, deciding part, evidence."
    ),
    "significance": Caption(
        "All tests",
        "One row a test: effect with intervals, p, Holm-adjusted p, verdict, sentence. Ratios are "
        "with BN over without, paired by seed. Roles: primary (decides a claim), secondary (other "
        "widths), descriptive (other thresholds), sensitivity (other margins), beside (another "
        "test of the same differences), trend (over the widths), exploratory (other arms).",
    ),
    "sensitivity": Caption(
        "Other analyses", "One row a claim and choice of analysis: the verdict it would give."
    ),
    "runs": Caption(
        "Runs",
        "One row a run: final losses (per sample; median of the closing window), losses of the "
        "last epoch, epochs to each train loss and whether it was reached, what the network looks "
        "like inside at the end, measured seconds.",
    ),
    "gradients": Caption(
        "Gradients at initialisation", "One row an initialisation, arm, seed and layer."
    ),
    "digits": Caption(
        "Networks on digits", "One row a run: epochs to the validation loss, values at the end."
    ),
    "digits_curves": Caption("Networks on digits, by epoch", "One row a run and epoch."),
    "extended/runs": Caption(
        "Extended study: runs", "As the default study's, with what differs from it in front."
    ),
    "extended/effects": Caption(
        "Extended study: effects",
        "One row a setting, width and quantity: ratio with BN over without (dropout: over without "
        "either), with its interval; exploratory.",
    ),
    "extended/horizon": Caption(
        "Extended study: long horizon",
        "One row a width and number of epochs: ratio of test losses with its interval, and the "
        "factor by which each arm's loss changed over the last doubling of the epochs.",
    ),
}


def captions(study: Study) -> dict[str, Caption]:
    """CAPTIONS with the study's settings filled in."""
    settings = {
        "study": study,
        "level": f"{100 * (1 - study.analysis.alpha):g} %",
        "seeds": _seeds(study.grid.seeds.count),
        "extended_seeds": _seeds(study.extended.seeds.count),
    }
    return {
        name: Caption(title, text.format(**settings)) for name, (title, text) in CAPTIONS.items()
    }


def _seeds(count: int) -> str:
    return f"{count} seed{'s' if count > 1 else ''}"
