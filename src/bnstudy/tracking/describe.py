"""What MLflow shall hold, from the study's files: a run a seed, a parent an arm and width, a study.

| level | what | run_key | parent |
|---|---|---|---|
| seed | one trained network | made by training of all that determines its numbers | its cell |
| cell | an arm at a width: median and quartiles over its seeds | the same without the seed | – |
| study | figures, tables, verdicts | a digest of all the seeds' keys | – |

So another setting or other code gives other keys, and another figure or analysis does not.
"""

import getpass
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.entities import DatasetInput

from bnstudy.figures import cell_curves, style
from bnstudy.files import (
    check_digests,
    digest_files,
    read_csv,
    read_json,
    read_parquet,
    write_json,
)
from bnstudy.measures import log_ratio, log_spaced_epochs
from bnstudy.study import Study
from bnstudy.tracking import notes, views
from bnstudy.tracking.artifacts import dataset_input, save_model, save_weights

Files = Iterable[tuple[Path, str | None]]  # a file or folder, and the artifact folder it goes to
LOSSES = {"loss/train": "train_loss", "loss/test": "test_loss"}
QUARTILES = {"_q1": 0.25, "": 0.5, "_q3": 0.75}


class MissingRecord(ValueError):
    """runs.csv lists a run that no block's record describes."""


@dataclass(frozen=True)
class TrackedRun:
    """What MLflow shall hold of one run. Times in ms since 1970.

    What costs time to make is a function, called only where it is missing: `curves` (epoch ×
    metric), `datasets`, `files` (given an empty folder to make them in). `note`: markdown, given
    the ids of the runs by their keys, and the experiment's. `content` names what is logged once for
    all, `files_name` the files: where the stored run has another, it is logged anew.
    """

    key: str
    level: str
    name: str
    status: str  # MLflow's word for the end: FINISHED or FAILED; RUNNING while it trains
    start: int
    end: int
    tags: Mapping[str, str]
    note: Callable[[Mapping[str, str], str], str]
    files_name: str
    files: Callable[[Path], Files]
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)  # finite values only
    parent: str | None = None
    content: str = ""
    epochs: int = 0
    curves: Callable[[], pd.DataFrame] = pd.DataFrame
    datasets: Callable[[], Sequence[DatasetInput]] = tuple
    progress: float | None = None


def described(
    runs: pd.DataFrame, records: Iterable[str | Path], study: Study, directory: Path,
    progress: Mapping[tuple[str, int], float] | None = None,
) -> list[TrackedRun]:  # fmt: skip
    """Every arm and width, then every seed, of the table `runs` (runs.csv, or the extended one).

    `records`: the blocks' record.json, each beside its block's other files. `progress`: arms and
    widths that still train, with their share done. MissingRecord if a run has no record,
    DamagedFile if weights are not those that their record describes.
    """
    blocks = _blocks_by_key(records)
    missing = [key for key in runs.run_key if key not in blocks]
    if missing:
        raise MissingRecord(
            f"run {missing[0]} of runs.csv is in none of the {len(blocks)} runs' record.json; "
            "run the pipeline again (`make`): it collects the tables from the records"
        )
    runs = runs if "variant" in runs else runs.assign(variant="default")
    runs = runs.assign(cell=runs.run_key.map(cell_key))
    runs["typical"] = _typical(runs)
    histories = Histories(study.mlflow.curve_points)
    cells = [
        _cell(group, runs, blocks, study, histories, progress or {})
        for _, group in runs.groupby("cell", sort=False)
    ]
    seeds = [_seed(row, blocks[row["run_key"]], study, directory, histories)
             for row in runs.to_dict("records")]  # fmt: skip
    return cells + seeds


def cell_key(run_key: str) -> str:
    """The key of the arm and width to which a run belongs: its own without the seed."""
    return re.sub(r"-s\d+-", "-", run_key)


@dataclass(frozen=True)
class Block:
    """A block's record, and the folder of its files."""

    folder: Path
    record: Mapping

    @property
    def checkpoint(self) -> Path:
        """The file of its weights."""
        return self.folder / "checkpoint.safetensors"


def _blocks_by_key(records: Iterable[str | Path]) -> dict[str, Block]:
    blocks = [Block(Path(path).parent, read_json(path)) for path in records]
    for block in blocks:  # the format of weights has no checksum of its own
        check_digests([block.checkpoint], block.record["files"])
    return {key: block for block in blocks for key in block.record["run_keys"].values()}


def _typical(runs: pd.DataFrame) -> pd.Series:
    """Why a run stands for others, so that it gets a loadable model; "" for all the rest.

    The median one, because the best or worst would mislead, and a mean belongs to no network.
    """
    reasons = pd.Series("", runs.index)
    reasons[~runs.in_grid] = "the article's own run"
    for _, cell in runs[runs.in_grid & np.isfinite(runs.final_test_loss)].groupby("cell"):
        order = cell.sort_values(["final_test_loss", "seed"]).index
        reasons[order[(len(order) - 1) // 2]] = "median final test loss of its arm and width"
    return reasons


# --- a run a seed ----------------------------------------------------------------------------


def _seed(
    row: Mapping, block: Block, study: Study, directory: Path, histories: "Histories"
) -> TrackedRun:
    """One trained network: `row` of runs.csv says how it ended, its block how it was trained."""
    record, seed = block.record, int(row["seed"])
    metrics, not_finite = _by_finiteness({name: row[name] for name in _metric_names(row)})
    names = {"arm": row["arm"], "width": str(row["width"]), "seed": str(seed)}
    index = record["seeds"].index(seed)
    digest = record["dataset_digests"][str(seed)]
    return TrackedRun(
        key=row["run_key"],
        level="seed",
        name=f"{row['arm']} w{row['width']} s{seed}",
        status="FINISHED" if row["status"] == "finished" else "FAILED",
        start=_milliseconds(record["started_at"]),
        end=_milliseconds(record["finished_at"]),
        params=names | _flat(record["settings"]),
        metrics=metrics,
        tags={
            "study": study.mlflow.experiment, "variant": row["variant"], **names,
            "in_grid": str(bool(row["in_grid"])).lower(), "dataset_digest": digest,
            **_provenance([record]),
            **({"typical": row["typical"]} if row["typical"] else {}),
            **({"not_finite": not_finite} if not_finite else {}),
        },
        note=lambda ids, _: notes.seed_note(
            row, study.analysis.primary.threshold, bool(row["typical"]), ids[row["run_key"]]
        ),
        parent=row["cell"],
        epochs=record["settings"]["training"]["epochs"],
        curves=lambda: histories.of(block, seed).rename(
            columns={column: name for name, column in LOSSES.items()}
        ),
        datasets=partial(_datasets, directory, block, seed, digest),
        files_name="weights and model" if row["typical"] else "weights",
        files=partial(_weights, block, index, bool(row["typical"])),
    )  # fmt: skip


def _metric_names(row: Mapping) -> list[str]:
    """The columns of runs.csv that say how a run ended: those after its status, numbers all."""
    names = list(row)
    return [
        n for n in names[names.index("status") + 1 :] if n not in ("cell", "variant", "typical")
    ]


def _datasets(directory: Path, block: Block, seed: int, digest: str) -> list[DatasetInput]:
    source = f"results/datasets/{block.folder.name}.npz"
    return [dataset_input(directory / source, source, seed, digest)]


def _weights(block: Block, index: int, model: bool, folder: Path) -> Files:
    save_weights(folder / "weights.safetensors", block.checkpoint, index)
    yield folder / "weights.safetensors", None
    if model:
        save_model(folder / "model", block.checkpoint, index)
        yield folder / "model", "model"


# --- a run an arm and width ------------------------------------------------------------------


def _cell(
    group: pd.DataFrame, runs: pd.DataFrame, blocks: Mapping[str, Block], study: Study,
    histories: "Histories", progress: Mapping[tuple[str, int], float],
) -> TrackedRun:  # fmt: skip
    """An arm at a width: what its seeds have in common, and the median and quartiles of the rest.

    The original's run belongs to it, but enters no aggregate, as everywhere in the study.
    """
    first = group.iloc[0]
    arm, width, key = first.arm, int(first.width), first.cell
    grid = group[group.in_grid] if group.in_grid.any() else group
    of_cell = {id(b): b for b in (blocks[k] for k in group.run_key)}.values()
    records = [block.record for block in of_cell]
    names = {"arm": arm, "width": str(width)}
    peers = runs[runs.in_grid & (runs.variant == first.variant)]
    summary = _summary(grid, peers, arm, width)
    metrics, not_finite = _by_finiteness(summary)
    variant = "" if first.variant == "default" else f"{first.variant} "
    share = progress.get((arm, width))
    members = hashlib.sha256("".join(sorted(grid.run_key)).encode()).hexdigest()[:12]
    typical = group[(group.typical != "") & group.in_grid]
    return TrackedRun(
        key=key,
        level="cell",
        name=f"{variant}{arm} w{width}",
        status="FINISHED" if share is None else "RUNNING",
        start=min(_milliseconds(record["started_at"]) for record in records),
        end=max(_milliseconds(record["finished_at"]) for record in records),
        params=names | _flat(records[0]["settings"]),
        metrics=metrics,
        tags={
            "study": study.mlflow.experiment, "variant": first.variant, **names,
            "seeds": f"{len(grid)}, from {grid.seed.min()} to {grid.seed.max()}",
            "mlflow.runColor": style.ARM_COLOURS[arm],  # as in the study's figures
            **_provenance(records),
            **({"not_finite": not_finite} if not_finite else {}),
        },
        note=lambda ids, experiment: notes.cell_note(
            grid, summary, study.analysis.primary.threshold,
            None if typical.empty else (int(typical.seed.iloc[0]), views.page(
                experiment, ids[typical.run_key.iloc[0]])),
        ),
        content=members,
        epochs=records[0]["settings"]["training"]["epochs"],
        curves=lambda: _quartile_curves(histories.of_all(grid, blocks)),
        files_name=members,
        files=lambda folder: _cell_figure(histories.of_all(grid, blocks), arm, width, folder),
        progress=share,
    )  # fmt: skip


def _summary(grid: pd.DataFrame, peers: pd.DataFrame, arm: str, width: int) -> dict[str, float]:
    """Medians under the seeds' own names, quartiles of what decides, and the ratio to `none`.

    Quantiles take a neighbour instead of a mean of two, of which one might be infinite.
    """
    names = _metric_names(grid.columns)
    values = grid[names].astype(float)
    spread = [n for n in names if n.startswith(("final_train_loss", "final_test_loss", "epochs_"))]
    summary = values.quantile(0.5, interpolation="lower").to_dict()
    for suffix in ("_q1", "_q3"):
        quartiles = values[spread].quantile(QUARTILES[suffix], interpolation="nearest")
        summary |= {f"{name}{suffix}": value for name, value in quartiles.items()}
    ratios = log_ratio(peers, width, "final_test_loss", arm) if arm != "none" else np.empty(0)
    if len(ratios):
        summary["test_loss_over_none"] = float(np.exp(ratios.mean()))
    return summary | {"runs": len(grid), "diverged": int((grid.status != "finished").sum())}


def _quartile_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles over the seeds at each epoch, a metric a column."""
    by_epoch = curves.groupby("epoch")
    return pd.DataFrame({
        f"{name}{suffix}": by_epoch[column].quantile(q)
        for name, column in LOSSES.items() for suffix, q in QUARTILES.items()
    })  # fmt: skip


def _cell_figure(curves: pd.DataFrame, arm: str, width: int, folder: Path) -> Files:
    style.save(cell_curves.draw(curves, arm, width), folder / "curves.png", preview=False)
    yield folder / "curves.png", None


class Histories:
    """Loss curves at log-spaced epochs; each block's file is read once."""

    def __init__(self, points: int):
        self.points = points
        self.block = cache(self._block)

    def of(self, block: Block, seed: int) -> pd.DataFrame:
        """One run's train_loss and test_loss by epoch."""
        epochs = block.record["settings"]["training"]["epochs"]
        return self.block(block.folder, epochs).loc[seed]

    def of_all(self, runs: pd.DataFrame, blocks: Mapping[str, Block]) -> pd.DataFrame:
        """Those of several runs below each other: seed, epoch, train_loss, test_loss."""
        curves = {row.seed: self.of(blocks[row.run_key], row.seed) for row in runs.itertuples()}
        return pd.concat(curves, names=["seed"]).reset_index()

    def _block(self, folder: Path, epochs: int) -> pd.DataFrame:
        shown = log_spaced_epochs(epochs, self.points).tolist()
        columns = ["seed", "epoch", *LOSSES.values()]
        table = read_parquet(folder / "curves.parquet", columns, epoch=shown)
        return table.to_pandas().set_index(["seed", "epoch"]).sort_index()


# --- the study -------------------------------------------------------------------------------


def described_study(
    runs: pd.DataFrame, study: Study, files: Sequence[Path], seeds: Sequence[TrackedRun]
) -> TrackedRun:
    """The study's own run: its files, its settings and its verdicts.

    `files`: those of results/ to show; what is not there is left out. `seeds`: its trained runs.
    """
    files = [path for path in map(Path, files) if path.exists()]
    settings = study.model_dump(mode="json")
    claims = next((read_csv(path) for path in files if path.name == "claims.csv"), None)
    verdicts = {} if claims is None else dict(zip(claims.claim, claims.verdict, strict=True))
    keys = "".join(sorted(run.key for run in seeds))
    return TrackedRun(
        key=f"study-{hashlib.sha256(keys.encode()).hexdigest()[:12]}",
        level="study",
        name="study",
        status="FINISHED",
        start=min(run.start for run in seeds),
        end=max(run.end for run in seeds),
        metrics={"runs": len(runs), "diverged": int((runs.status != "finished").sum()),
                 "seconds": float(runs.seconds.sum())},
        tags={
            "study": study.mlflow.experiment, "variant": "default",
            "config_digest": _digest(settings),
            **{f"verdict {claim}": verdict for claim, verdict in verdicts.items()},
        },
        note=lambda *_: notes.study_note(claims, len(runs)),
        files_name=hashlib.sha256(f"{digest_files(files)} {settings}".encode()).hexdigest(),
        files=partial(_study_files, files, settings),
    )  # fmt: skip


def _study_files(files: Sequence[Path], settings: Mapping, folder: Path) -> Files:
    """Each file into the artifact folder of its own name; those right below results/ on top."""
    write_json(folder / "config.json", settings)
    yield folder / "config.json", None
    for path in files:
        inside = path.as_posix().split("results/", 1)[-1]
        yield path, str(Path(inside).parent) if "/" in inside else None


# --- words that MLflow understands -----------------------------------------------------------


def origin() -> dict[str, str]:
    """MLflow's own tags: who tracked, from which checkout (what trained is in `code_digest`)."""
    tags = {"mlflow.source.name": "bnstudy", "mlflow.source.type": "LOCAL", "mlflow.user": _user()}
    if commit := _git("rev-parse", "HEAD"):
        tags["mlflow.source.git.commit"] = commit
        tags["mlflow.source.git.dirty"] = "true" if _git("status", "--porcelain") else "false"
    return tags


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return str(os.getuid())


def _git(*arguments: str) -> str:
    """What git says about this package's checkout; nothing where there is no git or no checkout."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _provenance(records: Sequence[Mapping]) -> dict[str, str]:
    """Code, settings, machines and versions of one or several blocks."""
    machines = {", ".join(map(str, record["machine"].values())) for record in records}
    versions = {
        ", ".join(f"{name} {v}" for name, v in record["versions"].items()) for record in records
    }
    return {
        "code_digest": records[0]["code_digest"],
        "config_digest": _digest(records[0]["settings"]),
        "machine": "; ".join(sorted(machines)),
        "versions": "; ".join(sorted(versions)),
        "threads": str(records[0]["threads"]),
    }


def _digest(settings: Mapping) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _by_finiteness(metrics: Mapping[str, float]) -> tuple[dict[str, float], str]:
    """The finite metrics, and the others as a text.

    MLflow stores infinity as 1.8e308, which would pass for a loss and ruin every axis: a value that
    is not finite is a tag, and a gap in the table.
    """
    finite = {name: float(v) for name, v in metrics.items() if abs(v) < float("inf")}
    others = ", ".join(f"{name} = {v}" for name, v in metrics.items() if name not in finite)
    return finite, others


def _flat(settings: Mapping, prefix: str = "") -> dict[str, str]:
    """Nested settings as `dataset.train_size` → "1000"."""
    flat = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat


def _milliseconds(iso: str) -> int:
    """An ISO 8601 time as MLflow counts it."""
    return round(datetime.fromisoformat(iso).timestamp() * 1000)
