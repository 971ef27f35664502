"""What MLflow shall hold, made from the study's files: one run per seed, per cell, per scope.

| level | what | run_key | parent |
|---|---|---|---|
| seed | one trained network | made by training of all that determines its numbers | its cell |
| cell | all settings but the seed: median, quartiles over its seeds | that without the seed | – |
| study | figures, tables, verdicts of a scope | a digest of all its seeds' keys | – |

So other settings or other code give other keys, and another figure or analysis does not. The two
scopes share the runs that both hold.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow.entities import DatasetInput

from bnstudy.analysis.outcomes import REFERENCE, each_row, log_ratio
from bnstudy.config.cell import SETTINGS, UNTUNED
from bnstudy.config.models import Study
from bnstudy.experiment.schedules import log_spaced_epochs
from bnstudy.files import check_digests, digest_files, read_json, read_parquet, write_json
from bnstudy.report import cell_curves, style
from bnstudy.tracking import notes, views

Row = Mapping[Any, Any]
Claims = pd.DataFrame | None  # claims.csv, once it is there
Files = Iterator[tuple[Path, str | None]]  # a file or folder, and the artifact folder it goes to
LOSSES = ["train_loss", "test_loss", "train_loss_eval"]  # the last is there for minibatches only
CURVES = {loss: f"loss/{loss.replace('_loss', '')}" for loss in LOSSES}  # as MLflow calls them
CHECKPOINT = "checkpoint.safetensors"
QUARTILES = {"_q1": 0.25, "": 0.5, "_q3": 0.75}


class MissingRecord(ValueError):
    """runs.csv lists a run that no block's record describes."""


@dataclass(frozen=True)
class TrackedRun:
    """What MLflow shall hold of one run. Times in ms since 1970.

    What costs time to make is a function, called only where it is missing: `curves` (epoch ×
    metric), `datasets`, `files` (given an empty folder to make them in). `note`: markdown, given
    the ids of the runs by their keys, and the experiment's. `files_name` names the files, and of a
    cell the seeds that it is about: where the stored run has another, they are logged anew.
    `experiments`: those of the study that ask for it.
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
    experiments: Sequence[str] = ()
    parent: str | None = None
    curves: Callable[[], pd.DataFrame] = pd.DataFrame
    datasets: Callable[[], Sequence[DatasetInput]] = tuple
    progress: float | None = None


class Block(NamedTuple):
    """A block's record, and the folder of its files."""

    folder: Path
    record: Mapping[str, Any]


class Sources:
    """What all runs of a scope are described from; each block's curves are read once.

    `records`: the blocks' record.json, each beside its block's other files. `experiments`:
    experiments.csv. DamagedFile if weights are not those that their record describes.
    """

    def __init__(
        self, study: Study, directory: Path, records: Iterable[Path], experiments: pd.DataFrame
    ) -> None:
        self.study, self.directory, self.experiments = study, directory, experiments
        self.blocks: dict[str, Block] = {}  # by run_key
        for path in records:
            block = Block(path.parent, read_json(path))
            # The format of weights has no checksum of its own.
            check_digests([block.folder / CHECKPOINT], block.record["files"])
            self.blocks |= dict.fromkeys(block.record["run_keys"].values(), block)
        # By cell: the experiments that ask for it, and the seeds that each asks for.
        self.asking: dict[str, list[tuple[str, range]]] = defaultdict(list)
        for row in each_row(experiments):
            seeds = range(row.first_seed, row.first_seed + row.seeds)
            self.asking[row.cell].append((row.experiment, seeds))
        self.block_curves = cache(self._block_curves)

    def curves(self, run_key: str, seed: int) -> pd.DataFrame:
        """One run's losses, at those epochs that are logged."""
        folder, record = self.blocks[run_key]
        curves = self.block_curves(folder, record["settings"]["epochs"])
        return curves.loc[[seed]].droplevel("seed")

    def curves_of(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Those of several runs below each other: seed, epoch and losses."""
        curves = {row.seed: self.curves(row.run_key, row.seed) for row in each_row(runs)}
        return pd.concat(curves, names=["seed"]).reset_index()

    def _block_curves(self, folder: Path, epochs: int) -> pd.DataFrame:
        logged = log_spaced_epochs(epochs, self.study.mlflow.curve_points).tolist()
        columns = ["seed", "epoch", *LOSSES]
        table = read_parquet(folder / "curves.parquet", columns, epoch=logged)
        return table.to_pandas().set_index(["seed", "epoch"]).sort_index()


def expected_runs(
    runs: pd.DataFrame, sources: Sources, progress: Mapping[str, float], cells: Iterable[str]
) -> list[TrackedRun]:
    """Every one of `cells` (their names), then every seed of them, of the table `runs` (runs.csv of
    the scope).

    `progress`: cells that still train, by name, with their share done. MissingRecord if a run has
    no record.
    """
    if runs.empty:
        return []
    if missing := [key for key in runs.run_key if key not in sources.blocks]:
        raise MissingRecord(
            f"run {missing[0]} of runs.csv is in none of the {len(sources.blocks)} runs' "
            "record.json; run the pipeline again (`make`): it collects the tables from the records"
        )
    runs = _roles(runs.assign(parent=runs.run_key.map(cell_key)), sources.study)
    runs["typical"] = _typical(runs, sources.experiments)
    # of tuned cells each arm has its own rate and schedule
    fixed = runs.tuned_for == UNTUNED["tuned_for"]
    others = [
        runs[name].where(fixed) if name in ("learning_rate", "schedule") else runs[name]
        for name in SETTINGS
        if name not in ("arm", "width")
    ]
    runs["wanted"] = runs.cell.isin(cells)
    parents = [
        _cell(group, peers, sources, progress.get(group.cell.iloc[0]))
        for _, peers in runs.groupby(others, sort=False, dropna=False)
        for _, group in peers[peers.wanted].groupby("parent", sort=False)
    ]
    return parents + [_seed(row, sources) for row in runs[runs.wanted].to_dict("records")]


def cell_key(run_key: str) -> str:
    """The key of the cell to which a run belongs: its own without the seed."""
    return re.sub(r"-s\d+-(?=[0-9a-f]+$)", "-", run_key)


def _roles(runs: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The runs with two columns more.

    `role` of a run's cell: the study's seeds decide, those of tuning choose settings. `counted`:
    which enter their cell's aggregates, the study's seeds, as everywhere in the study; of a cell
    that has none of those, all.
    """
    of_study, of_tuning = (runs.seed.isin(s.range) for s in (study.seeds.study, study.seeds.tuning))
    decides = of_study.groupby(runs.parent).transform("any")
    chooses = of_tuning.groupby(runs.parent).transform("all")
    role = np.select([decides, chooses], ["study", "tuning"], "other")
    return runs.assign(role=role, counted=of_study | ~decides)


def _typical(runs: pd.DataFrame, experiments: pd.DataFrame) -> pd.Series:
    """Why a run stands for others, so that it gets a loadable model; "" for all the rest.

    The median one, because the best or worst would mislead, and a mean belongs to no network; and
    what an experiment with a single seed is about, such as the article's own run.
    """
    reasons = pd.Series("", runs.index)
    for only in each_row(experiments[experiments.seeds == 1]):
        is_it = (runs.cell == only.cell) & (runs.seed == only.first_seed)
        reasons[is_it] = f"the only seed of the experiment {only.experiment}"
    for _, cell in runs[runs.counted & np.isfinite(runs.final_test_loss)].groupby("parent"):
        order = cell.sort_values(["final_test_loss", "seed"]).index
        reasons[order[(len(order) - 1) // 2]] = "median final test loss of its cell"
    return reasons


# --- one run per seed ------------------------------------------------------------------------


def _seed(row: Row, sources: Sources) -> TrackedRun:
    """One trained network: `row` of runs.csv says how it ended, its block how it was trained."""
    block, study = sources.blocks[row["run_key"]], sources.study
    record, seed, typical = block.record, int(row["seed"]), row["typical"]
    digest = record["dataset_digests"][str(seed)]
    tags = {"seed": seed, "dataset_digest": digest, "typical": typical, "role": row["role"]}
    metrics = {name: row[name] for name in _metric_names(row)}
    return TrackedRun(
        key=row["run_key"],
        level="seed",
        name=f"{row['cell']} s{seed}",
        status="FINISHED" if row["status"] == "finished" else "FAILED",
        experiments=[name for name, seeds in sources.asking[row["cell"]] if seed in seeds],
        note=lambda ids, _: notes.seed_note(row, study, ids[row["run_key"]]),
        parent=row["parent"],
        curves=lambda: sources.curves(row["run_key"], seed).rename(columns=CURVES),
        datasets=partial(_datasets, sources.directory, block, seed),
        files_name="weights and model" if typical else "weights",
        files=partial(_weights, block, record["seeds"].index(seed), bool(typical)),
        **_recorded(study, [record], metrics, tags),
    )


def _metric_names(row: Row | pd.DataFrame) -> list[str]:
    """The columns of runs.csv that say how a run ended: those after its status, up to `seconds`."""
    names = [str(name) for name in row]
    return names[names.index("status") + 1 : names.index("seconds") + 1]


def _datasets(directory: Path, block: Block, seed: int) -> Sequence[DatasetInput]:
    from bnstudy.tracking.artifacts import dataset_input

    return [dataset_input(directory, block.folder.name, block.record, seed)]


def _weights(block: Block, index: int, model: bool, folder: Path) -> Files:
    from bnstudy.tracking import artifacts  # PyTorch: seconds to import, for new runs alone

    weights = folder / "weights.safetensors"
    artifacts.save_weights(weights, block.folder / CHECKPOINT, index, block.record["settings"])
    yield weights, None
    if model:
        artifacts.save_model(folder / "model", weights)
        yield folder / "model", "model"


# --- one run per cell ------------------------------------------------------------------------


def _cell(
    group: pd.DataFrame, peers: pd.DataFrame, sources: Sources, progress: float | None
) -> TrackedRun:
    """A cell: what its seeds have in common, and the median and quartiles of the rest.

    `group`: its rows of runs.csv; `peers`: those of all cells that differ in arm or width alone.
    """
    counted = group[group.counted]
    first = counted.iloc[0]
    blocks = {sources.blocks[key].folder: sources.blocks[key].record for key in group.run_key}
    summary = _summary(counted, peers[peers.counted])
    members = hashlib.sha256("".join(sorted(counted.run_key)).encode()).hexdigest()[:12]
    tags = {
        "seeds": f"{len(counted)}, from {counted.seed.min()} to {counted.seed.max()}",
        "mlflow.runColor": style.look(first.arm).colour,  # as in the study's figures
        "role": first.role,
    }
    recorded = _recorded(sources.study, list(blocks.values()), summary, tags)
    # Its duration is the time that its runs were trained, whenever that was.
    recorded["end"] = recorded["start"] + round(1000 * group.seconds.sum())
    return TrackedRun(
        key=first.parent,
        level="cell",
        name=first.cell,
        status="FINISHED" if progress is None else "RUNNING",
        experiments=[name for name, _ in sources.asking[first.cell]],
        note=lambda ids, experiment: notes.cell_note(
            counted, summary, sources.study, lambda key: views.page(experiment, ids[key])
        ),
        curves=lambda: _quartile_curves(sources.curves_of(counted)),
        files_name=members,
        files=lambda folder: _cell_figure(sources.curves_of(counted), first, folder),
        progress=progress,
        **recorded,
    )


def _summary(runs: pd.DataFrame, peers: pd.DataFrame) -> dict[str, float]:
    """Medians under the seeds' own names, quartiles of what decides, and the ratio to `none`.

    Quantiles take a neighbour instead of a mean of two, of which one might be infinite.
    """
    names = _metric_names(runs)
    values = runs[names].astype(float)
    spread = [n for n in names if n.startswith(("final_train_loss", "final_test_loss", "epochs_"))]
    summary = dict(zip(names, values.quantile(0.5, interpolation="lower"), strict=True))
    for suffix in ("_q1", "_q3"):
        quartiles = values[spread].quantile(QUARTILES[suffix], interpolation="nearest")
        summary |= {f"{name}{suffix}": value for name, value in quartiles.items()}
    arm, width = runs.arm.iloc[0], int(runs.width.iloc[0])
    if arm != REFERENCE:
        ratios = log_ratio(peers[peers.width == width], "final_test_loss", arm)
        if len(ratios):
            summary[f"test_loss_over_{REFERENCE}"] = float(np.exp(ratios.mean()))
    return summary | {"runs": len(runs), "diverged": int((runs.status != "finished").sum())}


def _quartile_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles over the seeds at each epoch, one metric per column."""
    by_epoch = curves.groupby("epoch")
    columns = {}
    for (loss, name), (suffix, q) in product(CURVES.items(), QUARTILES.items()):
        columns[f"{name}{suffix}"] = by_epoch[loss].quantile(q)
    return pd.DataFrame(columns)


def _cell_figure(curves: pd.DataFrame, row: Any, folder: Path) -> Files:
    figure = cell_curves.draw(curves, row.arm, row.cell)
    style.save(figure, folder / "curves.png", preview=False)
    yield folder / "curves.png", None


# --- one run per scope -----------------------------------------------------------------------


def expected_study(
    study: Study, files: Sequence[Path], claims: Claims, scope: str, runs: Sequence[TrackedRun]
) -> TrackedRun:
    """The run of a whole scope: its files, its settings and its verdicts.

    `files`: those of results/ to show. `runs`: all others. It starts when the last of them ended
    (without any, of a study of gradients alone, say, when its files were made), so that MLflow
    lists it first; its duration is the time that they trained.
    """
    seeds = [run for run in runs if run.level == "seed"]
    settings = study.model_dump(mode="json")
    keys = "".join(sorted(run.key for run in seeds))
    name = scope.strip("/") or "default"
    tags = {"study": study.mlflow.experiment, "scope": name, "config_digest": _digest(settings)}
    if claims is not None:
        tags |= {f"verdict {row.claim}: {row.regime}": row.verdict for row in each_row(claims)}
    ends = [run.end for run in seeds] or [round(path.stat().st_mtime * 1000) for path in files]
    seconds = sum(run.metrics["seconds"] for run in seeds)
    diverged = sum(run.status == "FAILED" for run in seeds)
    return TrackedRun(
        key=f"study-{name}-{hashlib.sha256(keys.encode()).hexdigest()[:12]}",
        level="study",
        name="study" if name == "default" else f"study, {name}",
        status="FINISHED",
        start=max(ends),
        end=max(ends) + round(1000 * seconds),
        metrics={"runs": len(seeds), "diverged": diverged, "seconds": seconds},
        tags=tags,
        note=lambda *_: notes.study_note(claims, len(seeds)),
        files_name=hashlib.sha256(f"{digest_files(files)} {settings}".encode()).hexdigest(),
        files=partial(_study_files, files, f"results/{scope}", settings),
    )


def _study_files(files: Sequence[Path], root: str, settings: Row, folder: Path) -> Files:
    """Each file into the artifact folder of its own name; those right below `root` on top."""
    write_json(folder / "config.json", settings, digest=False)
    yield folder / "config.json", None
    for path in files:
        inside = Path(path.as_posix().split(root, 1)[-1])
        yield path, None if inside.parent == Path() else str(inside.parent)


# --- words that MLflow understands -----------------------------------------------------------


def _recorded(
    study: Study, records: Sequence[Row], metrics: Mapping[str, float], tags: Row
) -> dict[str, Any]:
    """What the records of one or several blocks say of a run: its settings, times and origin.

    MLflow stores infinity as 1.8e308, which would pass for a loss and ruin every axis: a value that
    is not finite is named in a tag, and a gap in the table. One that is missing (NaN) is a gap.
    """
    settings = {**UNTUNED, **records[0]["settings"]}
    finite = {name: float(v) for name, v in metrics.items() if abs(v) < float("inf")}
    others = [
        f"{name} = {v}" for name, v in metrics.items() if name not in finite and not np.isnan(v)
    ]
    machines = {", ".join(map(str, record["machine"].values())) for record in records}
    versions = {", ".join(map(" ".join, record["versions"].items())) for record in records}
    params = {name: tags[name] for name in ("seed",) if name in tags} | settings
    all_tags = {
        "study": study.mlflow.experiment,
        **{name: settings[name] for name in ("cell", *SETTINGS)},
        "code_digest": records[0]["code_digest"],
        "config_digest": _digest(settings),
        "machine": "; ".join(sorted(machines)),
        "versions": "; ".join(sorted(versions)),
        "threads": records[0]["threads"],
        "not_finite": ", ".join(others),
        **tags,
    }
    return {
        "start": min(_milliseconds(record["started_at"]) for record in records),
        "end": max(_milliseconds(record["finished_at"]) for record in records),
        # Nested ones as `dataset.train_size`.
        "params": {n: str(v) for n, v in pd.json_normalize(params).iloc[0].items()},
        "metrics": finite,
        "tags": {name: str(value) for name, value in all_tags.items() if value != ""},
    }


def _digest(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _milliseconds(iso: str) -> int:
    """An ISO 8601 time as MLflow counts it."""
    return round(datetime.fromisoformat(iso).timestamp() * 1000)
