"""The paper: what it says of the results is taken from the tables, its pages are set by Typst.

`contents` turns tables and settings into the words and numbers that paper/*.typ prints; the source
there holds definitions and arguments, and no result. `build` sets it.
"""

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import typst

from bnstudy.analysis.hypotheses import ARTICLE
from bnstudy.analysis.infimum import infimum
from bnstudy.analysis.outcomes import REFERENCE, TREATMENT, by_batch_size, each_row, grid_runs
from bnstudy.analysis.tasks import LINEAR
from bnstudy.analysis.wording import changes, interval, p_text, plain, tally, tuning_beside_bn
from bnstudy.config import members
from bnstudy.config.models import StudySettings
from bnstudy.files import write_json
from bnstudy.report.captions import TABLES, Caption

Rows = list[dict[str, Any]]
# Columns of significance.csv that the paper prints as they are, and to three digits.
TEXTS = ("claim", "regime", "arm", "reference", "quantity", "allows", "direction")
NUMBERS = (
    "median_reference",
    "median_arm",
    "sd_log_ratio",
    "skewness",
    "detectable_ratio",
    "margin",
)
# Properties of tasks as associations.csv names them.
PROPERTIES = {
    "even_share": "even share",
    "np.log(roughness)": "ln(roughness)",
    "C(inputs)[T.shifted]": "inputs shifted",
    "C(inputs)[T.stretched]": "inputs stretched",
}
# The signs that paper/beyond.typ predicts of them: at one quantity, or at all.
PREDICTED = {("even_share", f"epochs_to_{LINEAR:g}"): 1, "C(inputs)[T.shifted]": -1}
PLACED = re.compile(r'study-figure\("(\w+)"')  # a figure's place in paper/*.typ


def contents(
    tables: Mapping[str, pd.DataFrame],
    settings: Mapping[str, Any],
    captions: Mapping[str, Caption],
    publication: Mapping[str, str],
) -> dict[str, Any]:
    """What the paper prints, ready to be set: texts, and the settings as they are.

    `tables`: claims, significance, sensitivity, runs, experiments, effects, horizon, tasks,
    associations, versions and, where there is one, prediction of a scope; `settings`: the study's,
    as plain values; `publication`: version and address.
    """
    study = StudySettings(**{name: settings[name] for name in StudySettings.model_fields})
    tests, runs = tables["significance"], tables["runs"]
    grid = grid_runs(runs, study)
    at_widths = tests[(tests.regime == ARTICLE) & tests.width.notna()].sort_values("width")
    first = f"epochs_to_{study.analysis.primary.threshold:g}"
    return {
        "settings": settings,
        "publication": publication,
        "reference": study.reference,
        "article": ARTICLE,
        "level": f"{100 * (1 - study.analysis.alpha):g} %",
        "captions": {name: caption._asdict() for name, caption in captions.items()},
        "widths": _complete(grid, study),
        "trained": _trained(tables["experiments"], list(settings["experiments"]), study),
        "claims": _claims(tables["claims"], tests, tables["sensitivity"]),
        "parts": _tests(tests[tests.role == "primary"]),
        "speed": _tests(at_widths[at_widths.column == first]),
        "final": _tests(at_widths[at_widths.claim == "C2"]),
        "diagnostics": _diagnostics(grid[grid.width == study.analysis.primary.width]),
        "trends": _tests(tests[tests.role == "trend"]),
        "tuning": tuning_beside_bn(tests),
        "tally": tally(tables["claims"]),
        "tuned": _tuned(tests, study),
        "tasks": _tasks(tables["tasks"], study),
        "associations": _associations(tables["associations"]),
        "prediction": _prediction(tables.get("prediction", pd.DataFrame())),
        "arms": _arms(tests, study.analysis.primary.threshold),
        "sensitivity": _sensitivity(tables["sensitivity"]),
        "lines": list(tests[tests.regime.str.endswith("MNIST-1D")].sentence),
        "tuned_runs": int((runs.tuned_for != study.reference["tuned_for"]).sum()),
        "infimum": [[f"{e:g}", f"{loss:.2g}"] for e, loss in infimum().items()],
        "runs": {"trained": len(runs), "diverged": int((runs.status == "diverged").sum())},
        "evaluations": _evaluations(by_batch_size(runs, study)),
        "effects": len(tables["effects"]),
        "horizon": _horizon(tables["horizon"]),
        "cost": _cost(grid, runs.seconds.sum()),
        "versions": _versions(tables["versions"]),
    }


def build(
    source: Path, figures: Iterable[Path], tables: Iterable[Path], values: Mapping[str, Any]
) -> tuple[bytes, str]:
    """The PDF of the Typst sources in `source` with `values` and `figures`, and the warnings.

    The files `tables` are attached to it.

    Set in a folder of its own, with the compiler's own fonts and without a date: the same
    arguments give the same bytes, wherever they lie. RuntimeError names what Typst cannot set.
    """
    with TemporaryDirectory() as folder:
        compiler = compiler_of(Path(folder) / "paper", source, figures, tables, values)
        pdf, warnings = compiler.compile_with_warnings(format="pdf")
        assert isinstance(pdf, bytes)  # one file, not one per page
        return pdf, "\n".join(map(str, warnings))


def compiler_of(
    root: Path,
    source: Path,
    figures: Iterable[Path],
    tables: Iterable[Path],
    values: Mapping[str, Any],
) -> typst.Compiler:
    """Typst's compiler for the paper, all of whose files are copied into the new folder `root`.

    Its contents.json holds `values`, the names of the figures: `drawn` all of them, `further` those
    that no source file places; and of the tables, `attached`, each with what it holds.
    """
    shutil.copytree(source, root)
    for folder, files in (("figures", figures), ("tables", tables)):
        (root / folder).mkdir()
        for file in files:
            shutil.copyfile(file, root / folder / file.name)
    drawn = sorted(path.stem for path in (root / "figures").iterdir())
    text = "".join(path.read_text() for path in sorted(root.glob("*.typ")))
    further = [name for name in drawn if name not in PLACED.findall(text)]
    attached = {path.name: TABLES[path.stem].text for path in sorted((root / "tables").iterdir())}
    parts = {"drawn": drawn, "further": further, "attached": attached}
    write_json(root / "contents.json", {**values, **parts})
    return typst.Compiler(
        str(root / "paper.typ"), root=str(root), font_paths=[], ignore_system_fonts=True
    )


def _complete(grid: pd.DataFrame, study: StudySettings) -> list[int]:
    """The widths at which all of the study's seeds were trained."""
    seeds = grid.groupby("width").seed.nunique()
    return [int(width) for width in seeds.index[seeds == len(study.study_seeds)]]


def _trained(table: pd.DataFrame, experiments: Sequence[str], study: StudySettings) -> Rows:
    """One entry per experiment: its arms, widths, seeds, and the settings that it changes."""
    cells_of = {name: table[table.experiment == name] for name in experiments}
    return [_experiment(name, cells, study) for name, cells in cells_of.items() if len(cells)]


def _experiment(name: str, cells: pd.DataFrame, study: StudySettings) -> dict[str, str]:
    changed = [
        f"{setting.replace('_', ' ')} {_listed(cells[setting])}"
        for setting, default in study.reference.items()
        if set(cells[setting].dropna().astype(str)) - {str(default)}
        and setting not in ("task", "optimizer")
    ]
    seeds = cells[["first_seed", "seeds"]].drop_duplicates().itertuples()
    return {
        "experiment": name,
        "arms": ", ".join(f"{arm} ({_label(arm)})" for arm in dict.fromkeys(cells.arm)),
        "widths": _listed(cells.width),
        "tasks": _listed(cells.task),
        "optimizers": _listed(cells.optimizer),
        "changed": "; ".join(changed) or "–",
        "seeds": "; ".join(f"{count} from {first}" for _, first, count in seeds),
    }


def _listed(values: pd.Series) -> str:
    """The distinct values, in their order."""
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in dict.fromkeys(values))


def _label(arm: str) -> str:
    return members.declared("arms", arm).get("LABEL", arm)


def _claims(claims: pd.DataFrame, tests: pd.DataFrame, sensitivity: pd.DataFrame) -> Rows:
    """One entry per claim: its words, where it holds, what would change that, and an entry per
    regime: the verdict, its numbers and sentences."""
    rows = []
    for claim, cells in claims.groupby("claim", sort=False):
        first = cells.iloc[0]
        regimes = [
            {
                "regime": row.regime,
                "verdict": row.verdict,
                "ratio": interval(row),
                "pairs": f"{row.n_pairs:g}",
                "p": p_text(row.p_holm).removeprefix("= "),
                "decided_by": row.quantity,
                "evidence": row.evidence,
            }
            for row in each_row(cells)
        ]
        texts = {name: str(first[name]) for name in ("words", "summary", "figure")}
        changed = changes(sensitivity[sensitivity.claim == claim]).replace("**", "")
        rows.append({"claim": claim, **texts, "regimes": regimes, "changes": changed})
    return rows


def _tests(tests: pd.DataFrame) -> Rows:
    """What the paper may print of rows of significance.csv, as texts."""
    return [
        {
            **{name: str(getattr(row, name)) for name in TEXTS},
            **{name: _number(getattr(row, name)) for name in NUMBERS},
            "width": f"{row.width:g}",
            "pairs": f"{row.n_pairs:g}",
            "ratio": interval(row),
            "p": p_text(row.p_holm, row.at_floor).removeprefix("= "),
        }
        for row in each_row(tests)
    ]


def _tuned(tests: pd.DataFrame, study: StudySettings) -> Rows:
    """Every arm against none, both tuned, on the usual task; and what is special about the cell."""
    usual = study.reference
    rows = tests[(tests.role == "tuned") & (tests.task == usual["task"])]
    rows = rows[rows.inputs == usual["inputs"]].sort_values(["optimizer", "arm", "width", "epochs"])
    cells = [
        {
            "optimizer": str(row.optimizer),
            "samples": str(row.batch_size),
            "epochs": f"{row.epochs:,.0f}",
        }
        for row in each_row(rows)
    ]
    return [cell | test for cell, test in zip(cells, _tests(rows), strict=True)]


def _tasks(tasks: pd.DataFrame, study: StudySettings) -> Rows:
    """Of each quantity, on how many tasks and kinds of inputs its ratio is below, within and above
    the margin, and the extreme ones."""
    margins, rows = study.analysis.margins, []
    for quantity, cells in tasks.groupby("quantity", sort=False):
        loss = str(quantity).endswith("_loss")
        margin, ratio = margins.losses if loss else margins.epochs, np.exp(cells.d)
        counts = {
            "below": int((ratio < 1 / margin).sum()),
            "within": int(ratio.between(1 / margin, margin).sum()),
            "above": int((ratio > margin).sum()),
        }
        ends = {"least": _number(ratio.min()), "most": _number(ratio.max()), "cells": len(cells)}
        rows.append({"quantity": str(quantity).replace("_", " "), **counts, **ends})
    return rows


def _associations(table: pd.DataFrame) -> Rows:
    """Coefficients of d on properties of tasks, with their intervals."""
    return [
        {
            "quantity": row.quantity.replace("_", " "),
            "property": PROPERTIES[row.property],
            "coefficient": f"{row.coefficient:.2f} ({row.low:.2f} to {row.high:.2f})",
            "found": _found(_predicted(row), row.low, row.high),
        }
        for row in each_row(table)
        if row.property in PROPERTIES
    ]


def _predicted(row: Any) -> int:
    """The sign that was predicted of a coefficient, for its quantity or for all; 0: none was."""
    return PREDICTED.get(row.property, PREDICTED.get((row.property, row.quantity), 0))


def _found(sign: int, low: float, high: float) -> str:
    """Whether an interval is on the side of 0 that was predicted; "" where nothing was."""
    if not sign:
        return ""
    nearest, farthest = sorted((sign * low, sign * high))
    return "found" if nearest > 0 else "the opposite" if farthest < 0 else "not found"


def _prediction(table: pd.DataFrame) -> Rows:
    """How ratios of condition numbers go with BN's effects, over tasks and over settings: of runs
    tuned for the outcome, where they are tuned."""
    if table.empty:
        return []
    rows = table.dropna(subset="correlation")
    rows = rows[rows.over.isin(["tasks", "settings"]) & (rows.condition != "condition_median")]
    rows = rows[rows.tuned_for.isna() | (rows.tuned_for == rows.outcome)]
    return [
        {
            "over": f"{row.over} ({row.n:g})",
            "condition": row.condition.removeprefix("condition_").replace("_", " "),
            "when": row.when,
            "outcome": row.outcome.replace("_", " "),
            "correlation": f"{row.correlation:.2f} ({row.correlation_low:.2f} to "
            f"{row.correlation_high:.2f})",
            "found": _found(-1, row.correlation_low, row.correlation_high),
        }
        for row in each_row(rows)
    ]


def _diagnostics(runs: pd.DataFrame) -> Rows:
    """Medians over the runs of every diagnostic at the end of training, without BN and with it."""
    meanings: dict[str, str] = {}
    for name in members.names("diagnostics"):
        meanings |= members.declared("diagnostics", name).get("COLUMNS", {})
    losses = ("final_train_loss", "final_test_loss")
    columns = [name for name in map(str, runs) if name.startswith("final_") and name not in losses]
    medians = runs.groupby("arm")[columns].median().reindex([REFERENCE, TREATMENT])
    return [
        {
            "name": column.removeprefix("final_"),
            "meaning": meanings.get(column.removeprefix("final_"), ""),
            "none": _number(medians[column][REFERENCE]),
            "batch": _number(medians[column][TREATMENT]),
        }
        for column in columns
    ]


def _arms(tests: pd.DataFrame, threshold: float) -> Rows:
    """Every arm against none, by width and arm: epochs to the threshold, final test loss."""
    arms = tests[tests.role == "exploratory"]
    columns = f"epochs_to_{threshold:g}", "final_test_loss"
    speed, final = (_tests(arms[arms.column == column]) for column in columns)
    return [end | {"speed": start} for start, end in zip(speed, final, strict=True)]


def _sensitivity(table: pd.DataFrame) -> dict[str, Any]:
    """Verdicts under every choice of analysis, and which differ from the stated one's."""
    table = table.assign(cell=table.claim + ", " + table.regime)
    rows = []
    for cell, of_cell in table.groupby("cell", sort=False):
        verdicts = of_cell.fillna({"verdict": ""})
        cells = [{"verdict": r.verdict, "changed": bool(r.changed)} for r in each_row(verdicts)]
        rows.append({"cell": cell, "cells": cells})
    return {"choices": list(dict.fromkeys(table.choice)), "rows": rows}


def _evaluations(runs: pd.DataFrame) -> Rows:
    """Median final test losses by arm and samples per step, of each evaluation of BN."""
    columns = [f"final_{name}_test_loss" for name in ("running", "population", "batch")]
    return [
        {"arm": arm, "samples": f"{samples:,}", "losses": [*map(_number, cell[columns].median())]}
        for (arm, samples), cell in runs.groupby(["arm", "samples"], sort=False)
    ]


def _horizon(horizon: pd.DataFrame) -> Rows:
    """BN's effect at the end of the long horizon, by width."""
    last = horizon.sort_values("epochs").groupby("width").tail(1).sort_values("width")
    rows = []
    for row in each_row(last):
        end = {"width": f"{row.width:g}", "epochs": f"{row.epochs:,}", "pairs": f"{row.n_pairs:g}"}
        slopes = {"none": _number(row.slope_none), "batch": _number(row.slope_batch)}
        rows.append(end | slopes | {"ratio": interval(row)})
    return rows


def _cost(grid: pd.DataFrame, seconds: float) -> dict[str, Any]:
    """Measured seconds: the mean over the grid's runs by arm and width, and of all runs in all."""
    mean = grid.pivot_table(index="arm", columns="width", values="seconds", sort=False)
    widths = sorted(set(grid.width))
    rows = [{"arm": arm, "seconds": [*map(_number, row)]} for arm, row in mean[widths].iterrows()]
    return {"widths": list(map(str, widths)), "rows": rows, "minutes": f"{seconds / 60:.3g}"}


def _versions(versions: pd.DataFrame) -> dict[str, list[str]]:
    """What the training jobs ran on: software and processors."""
    software, processors = (versions[versions.kind == k] for k in ("software", "processor"))
    return {
        "software": [f"{row.name} {row.version}" for row in each_row(software)],
        "processors": list(processors.name),
    }


def _number(value: float) -> str:
    """Three significant digits."""
    return "–" if pd.isna(value) else plain(value)
