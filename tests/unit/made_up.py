"""Tables made to a known answer, for the tests of comparisons, effects, figures and the paper."""

from io import StringIO

import numpy as np
import pandas as pd

from bnstudy.analysis.comparisons import significance
from bnstudy.analysis.wording import claims_table
from bnstudy.config.models import ARTICLE
from bnstudy.config.plan import SETTINGS, Cell

FEATURES = (
    "mean_abs_z",
    "saturated_share",
    "effective_rank",
    "gradient_norm",
    "path_norm",
    "jacobian_norm",
    "jacobian_error",
)
# How many times its loss a network with BN has, by the statistics that it is evaluated with.
EVALUATIONS = {"running": 4.0, "population": 2.0, "batch": 1.0}
TASKS = ("article", "even", "linear", "odd", "product", "steps")  # as few as can be pooled


def runs(
    analysis,
    widths=(100, 300),
    count=12,
    speed=0.5,
    final=1.0,
    spread=0.1,
    seed=1,
    features=0.7,
    arms=("batch",),
    first=2000,
    **settings,
):
    """Runs in which each of `arms` needs `speed` times the epochs of none, ends at `final` times
    its loss and has `features` times its features; on `count` seeds from `first` on. `settings`:
    those that are not the article's."""
    rng = np.random.default_rng(seed)
    rows = []
    for width in widths:
        for s in range(first, first + count):
            base = rng.uniform(100, 300)
            for arm in ("none", *arms):
                of = {"speed": 1.0, "final": 1.0, "features": 1.0}
                if arm != "none":
                    of = {"speed": speed, "final": final, "features": features}
                noise = np.exp(rng.normal(0, spread, 2))
                loss = 0.01 * of["final"] * noise[0]
                cell = Cell(**ARTICLE | settings | {"arm": arm, "width": width})
                row = {
                    "run_key": f"{cell.name}-s{s}",
                    "cell": cell.name,
                    **cell.values(),
                    "seed": s,
                    "status": "finished",
                    "final_train_loss": 0.9 * loss,
                    "final_test_loss": loss,
                    "last_train_loss": loss,
                    "last_test_loss": 1.1 * loss,
                }
                for index, threshold in enumerate(analysis.thresholds):
                    row[f"epochs_to_{threshold:g}"] = base * (index + 1) * of["speed"] * noise[1]
                    row[f"reached_{threshold:g}"] = True
                for name in FEATURES:
                    scale = of["final"] if name == "jacobian_error" else of["features"]
                    row[f"final_{name}"] = scale * np.exp(rng.normal(0, spread))
                for name, times in EVALUATIONS.items():
                    row[f"final_{name}_test_loss"] = loss * (times if arm == "batch" else 1)
                rows.append(row)
    return pd.DataFrame(rows)


def experiments(**of):
    """experiments.csv: the cells of the runs given by each experiment's name."""
    return pd.concat(
        [
            made.drop_duplicates("cell")[["cell", *SETTINGS]].assign(
                experiment=name, first_seed=made.seed.min(), seeds=made.seed.nunique()
            )
            for name, made in of.items()
        ],
        ignore_index=True,
    )


def tuned(analysis, **options):
    """Runs of the tuned cells that the claims ask for; each arm has a rate of its own."""
    primary, minibatches = analysis.primary, analysis.minibatches
    found = []
    for objective in analysis.objectives:
        for width, size in ((primary.width, "full"), (minibatches.width, minibatches.batch_size)):
            made = runs(analysis, widths=(width,), batch_size=size, tuned_for=objective, **options)
            found.append(made.assign(learning_rate=np.where(made.arm == "none", 0.3, 0.1)))
    return pd.concat(found)


def over_epochs(made, epochs, seed=4):
    """A row per run and epoch with the settings of the run, as Parquet gives them."""
    rng = np.random.default_rng(seed)
    front = ["cell", *SETTINGS]
    table = made.loc[made.index.repeat(len(epochs)), [*front, "seed"]].reset_index(drop=True)
    table["epoch"] = np.tile(epochs, len(made))
    measured = ["mean_abs_z", "saturated_share", "effective_rank"]
    for column in ("train_loss", "test_loss", *measured):
        decay = np.tile(np.geomspace(100, 1e-3, len(epochs)), len(made))
        table[column] = decay * rng.lognormal(0, 0.1, len(table))
    return table.astype(dict.fromkeys(front, "category"))


def gradients(count=12, factors=((2.4, 1.1), (0.9, 1.05), (0.4, 1.1)), seed=2, depths=(3, 5)):
    """Gradients that grow by these factors per layer: (none, batch), with the article's weights,
    with critical ones, with ones half as large."""
    rng = np.random.default_rng(seed)
    weights = (("unscaled", 10.0), ("fan-in", 1.0), ("fan-in", 0.5))
    columns = ["depth", "initialization", "scale", "arm", "seed", "layer", "gradient_norm"]
    rows = [
        (depth, *which, arm, s, layer, (factor * wobble) ** -layer)
        for depth in depths
        for which, pair in zip(weights, factors, strict=True)
        for arm, factor in zip(("none", "batch"), pair, strict=True)
        for s in range(count)
        for wobble in [np.exp(rng.normal(0, 0.01))]
        for layer in range(1, depth + 1)
    ]
    return pd.DataFrame(rows, columns=columns)


def digits(count=12, ratios=(0.8, 0.8), seed=3):
    """Epochs to the threshold, batch this many times none's: dense, then convolutional."""
    rng = np.random.default_rng(seed)
    columns = ["network", "arm", "seed", "threshold", "reached", "epochs_to_threshold"]
    rows = [
        (
            network,
            arm,
            s,
            0.23,
            True,
            20 * (ratio if arm == "batch" else 1) * rng.uniform(0.95, 1.05),
        )
        for network, ratio in zip(("dense", "convolutional"), ratios, strict=True)
        for arm in ("none", "batch")
        for s in range(count)
    ]
    return pd.DataFrame(rows, columns=columns)


def tables(made_runs, count=12, **probes):
    """The tables that the claims need. `probes`: `factors` of the gradients, `ratios` on digits."""
    return {
        "runs": made_runs,
        "gradients": gradients(count, **{k: v for k, v in probes.items() if k == "factors"}),
        "digits": digits(count, **{k: v for k, v in probes.items() if k == "ratios"}),
    }


def explorer_tables(study):
    """The tables of a scope, as read from files, with all that the explorer shows: the article's
    comparison, rates tried on tuning seeds, tuned runs, tasks."""
    analysis, tuning = study.analysis, {"count": 5, "first": 0}
    tasks = analysis.tasks.model_dump() | {"tuned_for": "epochs_to_0.2258"}
    width = tasks.pop("width")
    of = {
        "grid": [runs(analysis)],
        "rates": [
            runs(analysis, (300,), learning_rate=rate, schedule=schedule, **tuning)
            for rate in (0.01, 0.1)
            for schedule in ("constant", "cosine")
        ],
        "tuned": [tuned(analysis)[lambda made: made.width == 300]],
        "task_tuned": [
            runs(analysis, (width,), 8, 0.5 + 0.1 * i, task=task, inputs=inputs, **tasks)
            for i, task in enumerate(TASKS)
            for inputs in ("plain", "shifted", "stretched")
        ],
    }
    made = {name: pd.concat(parts, ignore_index=True) for name, parts in of.items()}
    every = pd.concat(made.values(), ignore_index=True)
    found = tables(every)
    found["significance"] = significance(found, study)
    found["claims"] = claims_table(found["significance"], study)
    found["experiments"] = experiments(**made)
    read = {name: _as_read(table) for name, table in found.items() if name != "gradients"}
    return read | {"curves_thinned": over_epochs(every, range(50))}


def _as_read(table):
    """A table as it is read from a file."""
    text = StringIO(table.to_csv(index=False))
    return pd.read_csv(text, keep_default_na=False, na_values=[""])
