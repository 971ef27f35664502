"""A small study as the pipeline leaves it: trained in a second; one run is made to diverge."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from bnstudy.blocks import BlockFiles, train_block
from bnstudy.collect import collect_runs, read_block
from bnstudy.data import make_data
from bnstudy.files import (
    digests,
    read_csv,
    read_json,
    write_csv,
    write_data,
    write_json,
    write_parquet,
)
from bnstudy.study import Study
from bnstudy.tracking.importer import track

ROOT = Path(__file__).parents[1]
EPOCHS = 60
POINTS = 25
SEEDS = (0, 1000, 1001)
GRID = range(1000, 1010)
ARMS = ("batch", "none")
WIDTH = 4
DIVERGED = ("none", 1001)
RATE = 0.001


def make_settings(rate: float = RATE, **mlflow_settings) -> Study:
    """The default study's settings, made tiny."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["grid"]["widths"], config["ablation"]["widths"] = [WIDTH], []
    config["original"]["width"] = WIDTH
    config["analysis"]["primary"]["width"] = WIDTH
    config["analysis"]["final_window"] = 10
    config["dataset"] |= {"train_size": 30, "test_size": 20}
    config["extended"]["minibatches"]["sizes"] = [10]
    config["training"] |= {"epochs": EPOCHS, "learning_rate": rate}
    config["mlflow"] |= {"experiment": "study", "curve_points": POINTS} | mlflow_settings
    return Study.from_config(config)


def make_study(folder: Path, rate: float = RATE, seeds=SEEDS) -> Path:
    """A trained study in `folder`, as the pipeline leaves it; one of its runs diverges."""
    study = make_settings(rate)
    write_json(folder / "study.json", study.model_dump())
    for block in ([s for s in seeds if s < 1000], [s for s in seeds if s >= 1000]):
        data = folder / f"results/datasets/seeds_{block[0]}.npz"
        write_data(data, make_data(block, **study.dataset.model_dump()))
        for arm in ARMS:
            place = folder / f"results/training/{arm}/width_{WIDTH}/seeds_{block[0]}"
            names = "curves.parquet", "measures.parquet", "checkpoint.safetensors", "record.json"
            files = BlockFiles(*(place / name for name in names))
            train_block(
                data, files, arm=arm, width=WIDTH, seeds=block, settings=study.run_settings(arm),
                measured=study.measures.model_dump(),
            )  # fmt: skip
            if arm == DIVERGED[0] and DIVERGED[1] in block:
                diverge(files)
    collect(folder, study)
    claims = {"claim": ["C1"], "verdict": ["inconclusive"], "sentence": ["Left open."]}
    write_csv(folder / "results/tables/claims.csv", pd.DataFrame(claims))
    (folder / "results/claims.md").write_text("# Claims")
    return folder


def diverge(files: BlockFiles) -> None:
    """Make the losses of the diverged run infinite, then NaN."""
    table = read_block(files.curves).to_pandas()
    for column in ("train_loss", "test_loss"):
        table.loc[(table.seed == DIVERGED[1]) & (table.epoch >= 30), column] = np.inf
        table.loc[(table.seed == DIVERGED[1]) & (table.epoch >= 40), column] = np.nan
    write_parquet(files.curves, [pa.Table.from_pandas(table, preserve_index=False)])
    write_json(files.record, read_json(files.record) | {"files": digests(files[:-1])})


def collect(folder: Path, study: Study) -> None:
    """Write runs.csv."""
    files = [[path.with_name(name) for path in records(folder)]
             for name in ("curves.parquet", "measures.parquet", "record.json")]  # fmt: skip
    options = {"final_window": 10, "thresholds": study.analysis.thresholds}
    write_csv(folder / "results/tables/runs.csv", collect_runs(*files, GRID, **options))


def table_of(folder: Path) -> pd.DataFrame:
    return read_csv(folder / "results/tables/runs.csv")


def key(folder: Path, arm: str, seed: int) -> str:
    return table_of(folder).set_index(["arm", "seed"]).run_key[arm, seed]


def records(folder: Path) -> list[Path]:
    return sorted(folder.glob("results/training/*/*/*/record.json"))


def track_study(folder: Path, uri: str = "sqlite:///mlflow.db", **changes) -> dict:
    study = Study(**read_json(folder / "study.json"))
    study = study.model_copy(
        update={"mlflow": study.mlflow.model_copy(update={"tracking_uri": uri})}
    )
    shown = [folder / "results/claims.md", folder / "results/tables/claims.csv"]
    arguments = {"runs": table_of(folder), "records": records(folder), "files": shown} | changes
    return track(study=study, directory=folder, **arguments)
