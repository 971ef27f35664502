"""What a reader finds in words on each page of MLflow: markdown, made of the study's numbers."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from bnstudy.analysis.outcomes import REFERENCE, each_row, threshold_columns
from bnstudy.analysis.wording import matrix
from bnstudy.config.models import StudySettings
from bnstudy.report.style import look

ARTICLE = "https://www.cnblogs.com/xxhbdk/p/16425374.html"
_LOAD_MODEL = 'model = mlflow.pytorch.load_model("runs:/{run_id}/model")'
_LOAD_WEIGHTS = """\
from bnstudy.tracking.artifacts import load_model
model = load_model("runs:/{run_id}/weights.safetensors")"""
_LOAD = """\
```python
import mlflow, torch
{load}
model(torch.tensor([[0.1, -0.2, 0.3]], dtype=torch.float64))
```"""

_EXPERIMENT = """\
**What does batch normalisation do to a small neural network?**
An [article]({article}) answers with one run and one picture. Here it is a study: a *cell* is an arm
(`none`: without BN; `batch`: with it; and others), a width and all other settings; a *seed* draws
both the data set and the initial weights. Runs of one seed and width are pairs.

Look at (as in the menu *Views*): [which arm wins at which width]({table}) · [curves at width
{width}]({chart}) · [single runs]({seeds}) · [cells of all settings]({cells}) · [tuned]({tuned}) ·
[tuning]({tried}) · [verdicts, figures, tables]({study}) · [all, seeds below their cell]({start})

{verdicts}How to read it:

- A run named like a cell (`batch-w300`, and what differs from the article's settings) is the median
  over its seeds, its children (the + in front of it); the run *study* has figures and tables.
- `final_train_loss`, `final_test_loss`: median over the last epochs; `last_…`: the very last epoch.
- `test_loss_over_none`: final test loss over that of `none` with the same seed and settings,
  geometric mean of the pairs; below 1 the arm is better than no BN.
- `epochs_to_X`: epochs until the train loss first was at most X. Where `reached_X` is 0 it never
  was, and `epochs_to_X` is the training budget.
- `loss/train`, `loss/test`: the curves at log-spaced epochs, of a cell the median with `_q1` and
  `_q3`; every epoch is in `results/tables/curves.parquet`.
- `seconds`: the run's share of the time that its block of seeds trained; *Duration*: that time of
  the block, of a cell and of the run *study* that of all their runs.
- Status `FAILED`: the run diverged. Values that are not finite are named in its tag `not_finite`.
- Filters: `tags.superseded = "false"` (hides runs of earlier code), `tags.tuned_for = "nothing"`,
  `tags.role = "tuning"` (chooses rates), `tags.experiments LIKE "%rates%"`, `tags.level = "seed"`.
"""


def experiment_note(claims: pd.DataFrame | None, width: int, links: Mapping[str, str]) -> str:
    """The experiment's page. `claims`: claims.csv, once it is there; `links`: those of `views`."""
    verdicts = "" if claims is None else f"{_verdicts(claims)}\n\n"
    return _EXPERIMENT.format(article=ARTICLE, verdicts=verdicts, width=width, **links)


def study_note(claims: pd.DataFrame | None, runs: int) -> str:
    """The page of a scope's own run."""
    verdicts = "" if claims is None else _verdicts(claims)
    return (
        f"**The whole study: {runs} runs.** Figures, tables, verdicts (`claims.md`) and settings "
        f"(`config.json`) are under *Artifacts*.\n\n{verdicts}\n"
    )


def cell_note(
    runs: pd.DataFrame,
    summary: Mapping[str, float],
    study: StudySettings,
    page: Callable[[str], str],
) -> str:
    """The page of a cell. `runs`: its rows of runs.csv; `page`: the address of a run by its key."""
    threshold = study.analysis.primary.threshold
    labels = {
        "final_test_loss": "final test loss",
        "final_train_loss": "final train loss",
        threshold_columns(threshold)[0]: f"epochs to a train loss of {threshold:g}",
    }
    title = _title(runs.iloc[0].to_dict(), study)
    seeds = f"seeds {runs.seed.min()} to {runs.seed.max()}; {summary['diverged']} diverged"
    lines = [f"**{title}: {len(runs)} runs**, {seeds}.\n"]
    if ratio := summary.get(f"test_loss_over_{REFERENCE}"):
        lines += [
            f"Final test loss over that of `{REFERENCE}` with the same seed: **{ratio:.3g}** "
            "(geometric mean). Intervals and tests: the run `study`.\n"
        ]
    lines += ["| over the seeds | median | quartiles |", "|---|---|---|"]
    lines += [
        f"| {label} | {summary[name]:.4g} | {summary[f'{name}_q1']:.4g} to "
        f"{summary[f'{name}_q3']:.4g} |"
        for name, label in labels.items()
    ]
    for run in each_row(runs[runs.typical.str.startswith("median")]):
        lines += [
            "\nA typical run, the one with the median final test loss: "
            f"[seed {run.seed}]({page(run.run_key)}). It has a model to load."
        ]
    lines += ["\nEvery seed's curve, with median and quartiles: `curves.png` under *Artifacts*."]
    return "\n".join(lines)


def seed_note(row: Mapping[Any, Any], study: StudySettings, run_id: str) -> str:
    """The page of one run. `row`: its row of runs.csv."""
    threshold = study.analysis.primary.threshold
    epochs, reached = threshold_columns(threshold)
    losses = f"Final test loss {row['final_test_loss']:.4g}, train {row['final_train_loss']:.4g}"
    if row["status"] != "finished":
        losses = f"**It diverged.** {losses}"
    if row[reached]:
        losses += f"; a train loss of {threshold:g} after {row[epochs]} epochs"
    load = (_LOAD_MODEL if row["typical"] else _LOAD_WEIGHTS).format(run_id=run_id)
    peers = " and ".join(f'tags.{name} = "{row[name]}"' for name in ("seed", "width", "task"))
    return (
        f"**{_title(row, study)}, seed {row['seed']}.** {losses}.\n\n"
        "Its settings are the parameters, its data set is named by *Datasets used*. The same data "
        f"and initial weights in other cells: `{peers}`. To load its network, in evaluation mode:"
        f"\n\n{_LOAD.format(load=load)}"
    )


def _title(row: Mapping[Any, Any], study: StudySettings) -> str:
    """Arm and width, and the settings that are not the study's default ones."""
    label = look(row["arm"]).label
    parts = [f"{label[0].upper()}{label[1:]} (`{row['arm']}`)", f"width {row['width']}"]
    differing = {n: row[n] for n, value in study.reference.items() if str(row[n]) != str(value)}
    return ", ".join(parts + [f"{name} {value}" for name, value in differing.items()])


def _verdicts(claims: pd.DataFrame) -> str:
    return "\n".join(matrix(claims))
