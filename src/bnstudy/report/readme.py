"""What was found and measured, written into README.md and other files between markers.

Figure and findings come from published/, the speed table from benchmarks/results/; nothing of it is
typed. datapackage.json is generated as a whole.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from bnstudy.analysis.hypotheses import LOWER, epochs_to
from bnstudy.analysis.outcomes import REFERENCE, TREATMENT, each_row, has_settings
from bnstudy.analysis.wording import interval, tuning_beside_bn
from bnstudy.config.models import Study
from bnstudy.config.plan import SCOPES
from bnstudy.files import atomic, read_csv, read_parquet, write_json
from bnstudy.report.captions import captions
from bnstudy.report.datapackage import STUDIES, package
from bnstudy.report.publication import citation

# A generated part stands between <!-- name: … --> and <!-- end of name -->, in YAML in comments.
PART = r"((?:<!--|#) {name}: [^\n]*\n).*?((?:<!--|#) end of {name})"


def write(root: Path) -> None:
    """Write what is generated into README.md, CITATION.cff, docs/checklist.md and
    published/datapackage.json of the repository in `root`."""
    for name, text in texts(root).items():
        with atomic(root / name) as path:
            path.write_text(text)
    write_json(root / "published" / "datapackage.json", package(root), digest=False)


def texts(root: Path) -> dict[str, str]:
    """The files with generated parts, these up to date."""
    generated = {
        "README.md": parts(root),
        "CITATION.cff": {"publication": citation(root)},
        "docs/checklist.md": {"compute": compute(root / "published")},
    }
    return {name: filled((root / name).read_text(), each) for name, each in generated.items()}


def parts(root: Path) -> dict[str, str]:
    """The generated parts, from the committed tables of the repository in `root`."""
    tables, study = widest(root / "published"), study_of(root)
    found = [*findings(tables), *beside(tables), *on_tasks(tables, study), *caveats(tables, study)]
    return {
        "figure": figure(root, "claims_matrix"),
        "findings": "\n".join(found),
        "speed": (root / "benchmarks" / "results" / "short.md").read_text().strip(),
    }


def study_of(root: Path) -> Study:
    """The study that config.yaml describes."""
    return Study.from_config(yaml.safe_load((root / "config.yaml").read_text()))


def filled(text: str, parts: dict[str, str]) -> str:
    """`text` with the generated `parts` in their places. ValueError where a place is missing."""
    for name, content in parts.items():
        place = re.search(PART.format(name=name), text, re.DOTALL)
        if not place:
            raise ValueError(f"there is no place for {name!r}: <!-- {name}: … -->")
        text = f"{text[: place.end(1)]}{content}\n{text[place.start(2) :]}"
    return text


def figure(root: Path, name: str) -> str:
    """A published figure with its caption, of the study that config.yaml describes."""
    title, text, _ = captions(study_of(root))[name]
    return f"![{title}](published/figures/{name}.png)\n\n*{title}.* {text}"


def findings(tables: Path) -> list[str]:
    """A line on each claim: where it holds, where it fails."""
    claims = read_csv(tables / "claims.csv").drop_duplicates("claim")
    return [f"- **{row.claim}.** “{row.words}”: {row.summary}" for row in each_row(claims)]


def beside(tables: Path) -> list[str]:
    """A line on what choosing the rate does beside BN."""
    return [f"- Rates: {' '.join(tuning_beside_bn(read_csv(tables / 'significance.csv')))}"]


def on_tasks(tables: Path, study: Study) -> list[str]:
    """A line on the kinds of inputs: BN's median ratio of epochs over targets, each tuned for it,
    and on how many of them it is beyond the margin."""
    speed = epochs_to(study.analysis.primary.threshold)
    cells = read_csv(tables / "tasks.csv")
    cells = cells[cells.quantity == speed["column"]]
    margin = study.analysis.margins.epochs
    kinds = []
    for inputs, of_kind in cells.groupby("inputs"):
        ratios = np.exp(of_kind.d)
        faster, slower = (ratios < 1 / margin).sum(), (ratios > margin).sum()
        kinds.append(f"{inputs} {ratios.median():.2f} ({faster} faster, {slower} slower)")
    what = f"median ratio of the {speed['quantity']} over {cells.task.nunique()} targets"
    line = f"- Tasks: {what}, each arm tuned, by the kind of inputs: {'; '.join(kinds)}."
    return [line] if kinds else []


def compute(published: Path) -> str:
    """A row per published scope: its runs, and the core-hours of their training."""
    rows = ["| experiments | runs | core-hours of training |", "|---|---|---|"]
    for scope, name in STUDIES.items():
        if (table := published / f"{scope}tables" / "runs.csv").exists():
            runs = read_csv(table)
            rows.append(f"| {name} | {len(runs):,} | {runs.seconds.sum() / 3600:.1f} |")
    return "\n".join(rows)


def widest(published: Path) -> Path:
    """The tables of the widest scope that was published."""
    return [t for scope in SCOPES if (t := published / scope / "tables").exists()][-1]


def caveats(tables: Path, study: Study) -> list[str]:
    """What the verdicts leave out: where BN was slower at the article's settings, and that losses
    still fell at the end of the longest budget."""
    tests = read_csv(tables / "significance.csv")
    others = tests[(tests.role == "secondary") & tests.column.str.startswith("epochs_to_")]
    slower = [
        f"{row.quantity} at width {row.width:g}: ratio {interval(row)}"
        for row in each_row(others[others.ratio_low > 1])
    ]
    lower = (others.direction == LOWER).sum()
    first, last, falls = still_falling(
        read_parquet(tables / "curves_thinned.parquet").to_pandas(), study
    )
    return [
        f"- At other widths and thresholds, as the article ran it: {lower} of {len(others)} "
        f"comparisons of epochs lower beyond the margin; with an interval above 1: "
        f"{'; '.join(slower) or 'none'}.",
        f"- Not converged: at the article's rate mean test losses still fell from epoch {first:,} "
        f"to {last:,}, to {falls.min():.2f} to {falls.max():.2f} of what they were.",
    ]


def still_falling(curves: pd.DataFrame, study: Study) -> tuple[int, int, pd.Series]:
    """(an epoch at half of the longest budget, or little before; its last epoch; test loss at that
    over the first's, geometric means by arm and width), of runs as the article's."""
    usual = {name: value for name, value in study.reference.items() if name != "epochs"}
    runs = curves[has_settings(curves, usual) & curves.arm.isin([REFERENCE, TREATMENT])]
    runs = runs[(runs.epochs == runs.epochs.max()) & runs.seed.isin(study.study_seeds)]
    last = runs.epoch.max()
    first = runs.epoch[runs.epoch <= last / 2].max()
    logs = np.log(runs.test_loss).groupby([runs.arm.astype(str), runs.width, runs.epoch]).mean()
    means = np.exp(logs.unstack())
    return first + 1, last + 1, means[last] / means[first]
