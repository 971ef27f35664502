"""A small study as the pipeline leaves it: trained in a second; one run is made to diverge."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from bnstudy.analysis.collect import (
    blocks_of_scope,
    collect_diagnostics,
    collect_runs,
    experiments_table,
)
from bnstudy.analysis.networks import diagnose
from bnstudy.config import members
from bnstudy.config.models import Study
from bnstudy.config.plan import Plan
from bnstudy.experiment.block import BlockFiles, train_block
from bnstudy.experiment.data import make_data, write_data
from bnstudy.experiment.schedules import log_spaced_epochs
from bnstudy.files import (
    digests,
    read_csv,
    read_json,
    read_parquet,
    write_csv,
    write_json,
    write_parquet,
)
from bnstudy.tracking.importer import track

ROOT = Path(__file__).parents[1]
EPOCHS = 60
POINTS = 25
SEEDS = (0, 1000, 1001)
STUDY_SEEDS = range(1000, 1010)
ARMS = ("batch", "none")
WIDTH = 4
DIVERGED = ("none", 1001)
EXTENDED = "extended/"
# What the extended scope asks for beside the default one: an arm that is not affine, minibatches,
# and a seed more of a cell that is in both.
EXTRA = {
    "normed": {"arm": "layer-norm", "seeds": {"first": 1000, "count": 2}},
    "minibatches": {"arm": "none", "batch_size": 10, "seeds": {"first": 1000, "count": 1}},
    "more": {"arm": "batch", "seeds": {"first": 1002, "count": 1}},
}


def cell_of(arm: str) -> str:
    """The name of the default scope's cell with this arm."""
    return f"{arm}-w{WIDTH}-e{EPOCHS}"


def make_settings(count: int = 2, learning_rate: float = 0.001, **mlflow_settings) -> Study:
    """The default study's settings, made tiny: both arms on the seed 0 and on `count` others."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["experiments"] = {
        "original": {"arm": list(ARMS), "seeds": {"first": 0, "count": 1}},
        "grid": {"arm": list(ARMS), "seeds": {"first": 1000, "count": count}},
        **EXTRA,
    }
    config["default_experiments"] = ["original", "grid"]
    config["seeds"] = {
        "study": {"first": STUDY_SEEDS.start, "count": len(STUDY_SEEDS)},
        "tuning": {"first": 0, "count": 5},
    }
    config["defaults"] |= {"width": WIDTH, "epochs": EPOCHS, "learning_rate": learning_rate}
    config["analysis"]["primary"] |= {"width": WIDTH, "threshold": 0.2258}
    config["analysis"]["final_window"] = 10
    config["dataset"] |= {"train_size": 30, "test_size": 20}
    config["training"]["block_size"] = 500
    config["snapshots"]["points"] = 3
    config["mlflow"] |= {"experiment": "study", "curve_points": POINTS} | mlflow_settings
    return Study.from_config(config)


def make_study(
    folder: Path, scope: str = "", code: str = "code", diverged: bool = True, **settings
) -> Path:
    """A study in `folder`, trained by `code`, as the pipeline leaves it: the blocks of `scope`, and
    its tables. One of its runs diverges. The extended scope comes with the default one."""
    study = make_settings(**settings)
    write_json(folder / "study.json", study.model_dump(mode="json"), digest=False)
    plan = Plan(study)
    for block in plan.blocks(scope):
        data = dataset_of(folder, block.place)
        if not data.exists():
            cell, seeds = block.cell, range(block.start, block.start + 10)
            sizes = study.dataset.model_dump()
            write_data(data, make_data(seeds, cell.task, cell.inputs, **sizes))
        files = files_of(folder / "results/runs" / block.place)
        seeds = plan.seeds(block)
        train_block(
            data,
            files,
            seeds=seeds,
            settings=plan.job_settings(block.cell),
            code=code,
            snapshot_epochs=log_spaced_epochs(EPOCHS, study.snapshots.points).tolist(),
        )
        if diverged and block.cell.name == cell_of(DIVERGED[0]) and DIVERGED[1] in seeds:
            diverge(files)
    for each in sorted({"", scope}):
        collect(folder, study, each)
    return folder


def files_of(place: Path) -> BlockFiles:
    names = "curves.parquet", "snapshots.safetensors", "checkpoint.safetensors", "record.json"
    return BlockFiles(*(place / name for name in names))


def dataset_of(folder: Path, place: str) -> Path:
    return folder / f"results/datasets/article-plain/{Path(place).name}.npz"


def diverge(files: BlockFiles) -> None:
    """Make the losses of the diverged run infinite, then NaN."""
    table = read_parquet(files.curves).to_pandas()
    for column in ("train_loss", "test_loss"):
        table.loc[(table.seed == DIVERGED[1]) & (table.epoch >= 30), column] = np.inf
        table.loc[(table.seed == DIVERGED[1]) & (table.epoch >= 40), column] = np.nan
    schema = read_parquet(files.curves).schema
    write_parquet(files.curves, [pa.Table.from_pandas(table, schema, preserve_index=False)])
    write_json(files.record, read_json(files.record) | {"files": digests(files[:-1])})


def collect(folder: Path, study: Study, scope: str = "") -> None:
    """Write the tables of a scope that tracking reads, and its claims."""
    plan = Plan(study)
    experiments = experiments_table(plan.rows(scope))
    places = [folder / "results/runs" / block.place for block in plan.blocks(scope)]
    blocks = blocks_of_scope([files_of(place).record for place in places], experiments)
    columns = [
        column
        for name in members.names("diagnostics")
        for column in members.declared("diagnostics", name)["COLUMNS"]
    ]
    tables = [diagnose([block], study.diagnostics) for block in blocks]
    diagnostics = collect_diagnostics(tables, columns)
    options = {"final_window": 10, "thresholds": study.analysis.thresholds}
    runs = collect_runs(blocks, diagnostics.to_pandas(), **options)
    results = folder / f"results/{scope}"
    write_csv(results / "tables/runs.csv", runs)
    write_csv(results / "tables/experiments.csv", experiments)
    claims = {"claim": "C1", "words": "BN is faster", "regime": "tuned", "verdict": "open"}
    claims |= {"ratio": 0.9, "ratio_low": 0.8, "ratio_high": 1.1, "bound": float("nan")}
    write_csv(results / "tables/claims.csv", pd.DataFrame(claims, index=[0]))
    (results / "claims.md").write_text("# Claims")


def table_of(folder: Path, scope: str = "") -> pd.DataFrame:
    return read_csv(folder / f"results/{scope}tables/runs.csv")


def key(folder: Path, arm: str, seed: int) -> str:
    return table_of(folder).set_index(["arm", "seed"]).run_key[arm, seed]


def records(folder: Path) -> list[Path]:
    return sorted(folder.glob("results/runs/*/*/record.json"))


def arguments_of(folder: Path, scope: str = "") -> dict[str, Any]:
    """What `track` is called with: as the workflow does, all paths below the study's folder."""
    results = folder / f"results/{scope}"
    return {
        "runs": table_of(folder, scope),
        "records": records(folder),
        "study": Study.from_config(read_json(folder / "study.json")),
        "directory": folder,
        "experiments": read_csv(results / "tables/experiments.csv"),
        "scope": scope,
        "files": [results / "claims.md", results / "tables/claims.csv"],
    }


def track_study(
    folder: Path, uri: str = "sqlite:///mlflow.db", scope: str = "", **changes: Any
) -> dict[str, Any]:
    arguments = arguments_of(folder, scope)
    mlflow = arguments["study"].mlflow.model_copy(update={"tracking_uri": uri})
    arguments["study"] = arguments["study"].model_copy(update={"mlflow": mlflow})
    return track(**(arguments | changes))
