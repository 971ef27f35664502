"""What the reader sees in each figure and table: one source for paper, report, explorer and
claims page."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from bnstudy.config import members
from bnstudy.config.models import Study
from bnstudy.experiment.data import ARTICLE_VARIANCE


class Caption(NamedTuple):
    """A title, and what the reader sees; says nothing about how it came out. `tables`: what a
    figure is drawn from."""

    title: str
    text: str
    tables: Sequence[str] = ()


# The tables that the explorer shows, but for those with a row per layer or epoch.
LONG = {"gradients", "digits_curves", "mnist1d_curves"}
TABLES = {
    "claims": Caption(
        "Claims", "One row per claim and regime: verdict, deciding comparison, evidence."
    ),
    "significance": Caption(
        "All comparisons",
        "One row per comparison: effect with t interval, p of lower, same and higher, the least of "
        "them adjusted by Holm, direction, sentence. Ratios are of an arm over its reference, "
        "paired by seed. Roles: primary (decides a claim in a regime), secondary (the article's "
        "settings at other widths and thresholds), exploratory (other arms; MNIST-1D), tuned "
        "(every arm against none, both tuned), trend (over widths, budgets, batch sizes).",
    ),
    "sensitivity": Caption(
        "Other analyses",
        "One row per claim, regime and choice of analysis: the verdict it would give; empty where "
        "the choice cannot act.",
    ),
    "tuning": Caption(
        "Tuning",
        "One row per tuned cell and rate and schedule tried: geometric mean of the outcome over "
        "the tuning seeds, rank, how often tuning seeds drawn anew would choose it.",
    ),
    "experiments": Caption(
        "Experiments", "One row per experiment and cell: its name, the seeds, the settings."
    ),
    "runs": Caption(
        "Runs",
        "One row per run: settings, final losses (per sample; median of the closing window), "
        "losses of the last epoch, epochs to each train loss and whether it was reached, "
        "diagnostics at the end, measured seconds.",
    ),
    "effects": Caption(
        "Effects under other settings",
        "One row per setting, width, arm and quantity: ratio to the network without BN, with its "
        "interval; exploratory.",
    ),
    "horizon": Caption(
        "Long horizon",
        "One row per width and number of epochs: ratio of test losses with its interval, and the "
        "factor by which each arm's loss changed over the last doubling of the epochs.",
    ),
    "envelope": Caption(
        "The best loss within a budget",
        "One row per arm, curve and number of epochs, at the primary width: the least mean test "
        "loss that any constant rate has reached by then (best), or the loss at the article's "
        "rate (article), and the rate.",
    ),
    "tasks": Caption(
        "Tasks",
        "One row per task, kind of inputs and quantity: shares of the targets' variance that are "
        "even and linear, roughness, means of either arm, d, its spread, censored runs.",
    ),
    "associations": Caption(
        "What goes with BN's effect over tasks",
        "One row per quantity and property: coefficient of d in a regression over tasks and kinds "
        "of inputs, with its interval; exploratory.",
    ),
    "versions": Caption("Versions", "One row per package and version, and per processor."),
    "depth_training": Caption(
        "Deep networks in training",
        "One row per size of the weights (σ_w), norm, learning rate and seed: epochs to the train "
        "loss, whether it was reached, the loss then or at the end.",
    ),
    "gradients": Caption(
        "Gradients at initialisation",
        "One row per depth, initialisation, size of the weights (σ_w), arm, seed and layer.",
    ),
    "curvature": Caption(
        "Curvature of the train loss",
        "One row per cell, seed and epoch (-1: untrained): train loss of the whole training set; "
        "largest eigenvalue of its Gauss–Newton matrix, over the weighted median and mean of its "
        "eigenvalues (condition_median, condition_effective); largest eigenvalue of its Hessian "
        "(sharpness); the same in Adam's coordinates, and times the learning rate as a share of "
        "what is stable (stability); relative change of the gradient over half a step to four "
        "steps, the largest.",
    ),
    "prediction": Caption(
        "Conditioning and effect",
        "One row per set of points (over seeds, tasks or settings), condition number and outcome: "
        "Spearman's correlation of ln(none / arm) of the condition numbers with ln(arm / none) of "
        "the outcomes, with its BCa interval; below 0 where the better conditioned arm does "
        "better.",
    ),
}
for _table, _images in (("digits", "digits"), ("mnist1d", "MNIST-1D")):
    TABLES |= {
        _table: Caption(
            f"Networks on {_images}",
            "One row per run: rate, epochs to the validation loss, values at the end.",
        ),
        f"{_table}_curves": Caption(
            f"Networks on {_images}, by epoch",
            "One row per run and number of epochs done, from 0 on.",
        ),
        f"{_table}_tuning": Caption(
            f"Tuning on {_images}",
            "One row per network, arm and learning rate tried: geometric mean of the epochs to the "
            "validation loss over the tuning seeds, rank.",
        ),
    }


class _Absent:
    """Stands for an experiment that the study does not have, and its settings, in any format."""

    def __getattr__(self, name: str) -> "_Absent":
        return self

    def __format__(self, specification: str) -> str:
        return "–"


def captions(study: Study) -> dict[str, Caption]:
    """Title and caption of every figure, from the figures' files, with the study's settings in
    them. ValueError where a caption names a setting that is not known here."""
    known = _settings(study)
    found = {}
    for name in members.names("figures"):
        declared = members.declared("figures", name)
        try:
            text = declared["CAPTION"].format(**known)
        except (KeyError, IndexError, AttributeError) as error:
            raise ValueError(
                f"{members.path('figures', name)}: {error} in CAPTION; known: {', '.join(known)}"
            ) from None
        found[name] = Caption(declared["TITLE"], text, declared["TABLES"])
    return found


def _settings(study: Study) -> dict[str, Any]:
    """What a caption may name. Of an experiment of its own kind any setting: `{digits.epochs}`."""
    analysis, experiments = study.analysis, study.experiments
    own = {name: getattr(experiments, name) for name in type(experiments).model_fields}
    depth = experiments.depth
    return {
        "level": f"{100 * (1 - analysis.alpha):g} %",
        "seeds": _seeds(study.study_seeds),
        "width": analysis.primary.width,
        "epochs": study.reference["epochs"],
        "tuned_width": analysis.minibatches.width,
        "share": f"{100 * analysis.primary.threshold / ARTICLE_VARIANCE:.2g} %",
        "final_window": analysis.final_window,
        "margin": analysis.margins.losses,
        "saturation": study.diagnostics.get("features", {}).get("saturation", _Absent()),
        "deepest": max(depth.depth) if depth else _Absent(),
        "depths": " and ".join(map(str, depth.depth)) if depth else _Absent(),
        **{name: found or _Absent() for name, found in own.items()},
        **{f"{n}_seeds": _seeds(study.seeds_of(e)) if e else _Absent() for n, e in own.items()},
    }


def _seeds(seeds: range) -> str:
    return f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
