"""What a reader finds in words on each page of MLflow: markdown, made of the study's numbers."""

from collections.abc import Mapping, Sequence

import pandas as pd

from bnstudy.figures.style import ARM_LABELS
from bnstudy.measures import threshold_columns

ARTICLE = "https://www.cnblogs.com/xxhbdk/p/16425374.html"
_LOAD_MODEL = """\
```python
import mlflow, torch
model = mlflow.pytorch.load_model("runs:/{run_id}/model")
model(torch.tensor([[0.1, -0.2, 0.3]], dtype=torch.float64))
```"""
_LOAD_WEIGHTS = """\
```python
import mlflow, torch
from bnstudy.tracking.artifacts import load_model
model = load_model("runs:/{run_id}/weights.safetensors")
model(torch.tensor([[0.1, -0.2, 0.3]], dtype=torch.float64))
```"""

_EXPERIMENT = """\
**What does batch normalisation do to a small neural network?**
An [article]({article}) answers with one run and one picture. Here it is a study: an *arm* (`none`:
without BN; `batch`: with it; two more split BN's effect) × a *width* (hidden units) × a *seed*,
which draws both the data set and the initial weights. Runs of one seed and width are pairs.

Look at: [which arm wins at which width]({table}) · [curves at width {width}]({chart}) ·
[single runs at width {width}]({seeds}) · [all, seeds below their arm and width]({start})

{verdicts}How to read it:

- A run *arm w width* is the median over its seeds, which are its children (the + in front of it);
  the run *study* has figures, tables and the verdicts with their evidence.
- `final_train_loss`, `final_test_loss`: median over the last epochs; `last_…`: the very last epoch.
- `test_loss_over_none`: final test loss over that of `none` with the same seed, geometric mean of
  the pairs; below 1 the arm is better than no BN.
- `epochs_to_X`: epochs until the train loss first was at most X. Where `reached_X` is 0 it never
  was, and `epochs_to_X` is the training budget.
- `loss/train`, `loss/test`: the curves at log-spaced epochs, of an arm and width the median with
  `_q1` and `_q3`; every epoch is in `results/tables/curves.parquet`.
- `seconds`: the run's share of the time that its block of seeds trained; *Duration* is the whole.
- Status `FAILED`: the run diverged. Values that are not finite are named in its tag `not_finite`.

Filters: `tags.level = "cell"` (arms and widths), `tags.level = "seed"` (single runs),
`tags.superseded = "false"` (hides runs of earlier settings or code), `tags.in_grid = "true"`
(leaves out the article's original run), `tags.arm = "batch" and tags.width = "300"`.
"""


def experiment_note(claims: pd.DataFrame | None, width: int, links: Mapping[str, str]) -> str:
    """The experiment's page. `claims`: claims.csv, once it is there; `links`: those of `views`."""
    verdicts = "" if claims is None else f"{_verdicts(claims)}\n\n"
    return _EXPERIMENT.format(article=ARTICLE, verdicts=verdicts, width=width, **links)


def study_note(claims: pd.DataFrame, runs: int) -> str:
    """The page of the study's own run."""
    return (
        f"**The whole study: {runs} runs.** Figures, tables, verdicts (`claims.md`) and settings "
        f"(`config.json`) are under *Artifacts*.\n\n{_verdicts(claims)}\n"
    )


def cell_note(
    runs: pd.DataFrame, summary: Mapping[str, float], threshold: float,
    typical: tuple[int, str] | None,
) -> str:  # fmt: skip
    """The page of an arm and width. `runs`: its rows of runs.csv; `typical`: a seed, its page."""
    arm, width = runs.iloc[0][["arm", "width"]]
    rows = [
        f"| {label} | {summary[name]:.4g} | {summary[f'{name}_q1']:.4g} to "
        f"{summary[f'{name}_q3']:.4g} |"
        for name, label in (
            ("final_test_loss", "final test loss"), ("final_train_loss", "final train loss"),
            (threshold_columns(threshold)[0], f"epochs to a train loss of {threshold:g}"),
        ) if f"{name}_q1" in summary
    ]  # fmt: skip
    lines = [
        f"**{_arm(arm)}, width {width}: {len(runs)} runs**, seeds {runs.seed.min()} to "
        f"{runs.seed.max()}; {int((runs.status != 'finished').sum())} diverged.", "",
    ]  # fmt: skip
    if arm != "none" and "test_loss_over_none" in summary:
        lines += [
            f"Final test loss over that of `none` with the same seed: "
            f"**{summary['test_loss_over_none']:.3g}** (geometric mean). Intervals and tests: the "
            "run `study`.", "",
        ]  # fmt: skip
    lines += ["| over the seeds | median | quartiles |", "|---|---|---|", *rows, ""]
    if typical is not None:
        seed, page = typical
        lines += [f"A typical run, the one with the median final test loss: [seed {seed}]({page}). "
                  "It has a model to load.", ""]  # fmt: skip
    lines += ["Every seed's curve, with median and quartiles: `curves.png` under *Artifacts*."]
    return "\n".join(lines)


def seed_note(row: Mapping, threshold: float, has_model: bool, run_id: str) -> str:
    """The page of one run. `row`: its row of runs.csv."""
    epochs, reached = threshold_columns(threshold)
    losses = f"Final test loss {row['final_test_loss']:.4g}, train {row['final_train_loss']:.4g}"
    if row["status"] != "finished":
        losses = "**It diverged.** " + losses
    if row[reached]:
        losses += f"; a train loss of {threshold:g} after {row[epochs]} epochs"
    load = _LOAD_MODEL if has_model else _LOAD_WEIGHTS
    return "\n".join([
        f"**{_arm(row['arm'])}, width {row['width']}, seed {row['seed']}.** {losses}.", "",
        "Its settings are the parameters, its data set is named by *Datasets used*. The same data "
        f"and initial weights in other arms: `tags.seed = \"{row['seed']}\" and tags.width = "
        f"\"{row['width']}\"`. To load its network, in evaluation mode:", "",
        load.format(run_id=run_id),
    ])  # fmt: skip


def _arm(arm: str) -> str:
    label = ARM_LABELS[arm]
    return f"{label[0].upper()}{label[1:]} (`{arm}`)"


def _verdicts(claims: pd.DataFrame) -> str:
    lines: Sequence[str] = [
        f"| {claim.claim} | **{claim.verdict}** | {claim.sentence} |"
        for claim in claims.itertuples()
    ]
    return "\n".join(["| claim | verdict | |", "|---|---|---|", *lines])
