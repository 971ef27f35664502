"""What a million runs would need: measured costs of one, and the arithmetic. Writes docs/scale.md.

`python -m benchmarks.million`, from results/scale/ (`make bench-scale`) and published/.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.scale import of_the_grid
from bnstudy.files import atomic, read_csv
from bnstudy.report.readme import filled

HERE = Path(__file__).parent
ROOT = HERE.parent
WIDTHS = np.arange(10, 1001, 10)
SEEDS, ARMS, BLOCK_SIZE = 5000, 2, 100
RUNS = len(WIDTHS) * SEEDS * ARMS
JOBS = RUNS // BLOCK_SIZE
CORES = 1000
WEIGHTS = {
    "snapshots.safetensors": "networks while training",
    "checkpoint.safetensors": "weights and Adam's moments",
}


def tables(scale: Path) -> str:
    """Markdown: what was measured, by part."""
    lines = ["| | measured | |", "|---|---|---|"]
    for part in ("planning", "tracking", "browsing", "storage"):
        for row in read_csv(scale / f"{part}.csv").fillna("").itertuples():
            value = f"{row.value:,.4g}" if row.value < 1e4 else f"{row.value:,.0f}"
            lines.append(f"| {part}: {row.quantity} | {row.detail} | {value} {row.unit} |")
    return "\n".join(lines)


def million(scale: Path, runs: pd.DataFrame) -> str:
    """Markdown: what RUNS runs would need, with the arithmetic. `runs`: the default study's."""
    planning, tracking, storage = (
        read_csv(scale / f"{part}.csv").set_index(["quantity", "detail"]).value
        for part in ("planning", "tracking", "storage")
    )
    grid = of_the_grid(runs)
    per_unit, fixed = np.polyfit(grid.width, grid.seconds, 1)
    hours = RUNS * (fixed + per_unit * WIDTHS.mean()) / 3600

    jobs, cpu, memory = (planning[name] for name in ("jobs", "processor time", "peak memory"))
    seconds_a_job, _ = np.polyfit(jobs, cpu, 1)
    mb_a_job, mb_of_none = np.polyfit(jobs, memory, 1)

    tracked = tracking["runs"].iloc[0]
    track = tracking["processor time", "fresh database"] / tracked
    database = tracking["database"].iloc[0] / tracked

    def per_run(name: str) -> float:
        """kB a run at the mean width: linear in the width."""
        of = storage[name]
        widths = of.index.str.removeprefix("width ").astype(float)
        return np.polyval(np.polyfit(widths, of, 1), WIDTHS.mean())

    curves, row_of_runs = per_run("curves.parquet"), storage["tables/runs.csv"].iloc[0]
    weights = {name: per_run(name) for name in WEIGHTS}
    lines = [
        "| | a run or job | times | makes |",
        "|---|---|---|---|",
        f"| training | {fixed:.2g} s + {1000 * per_unit:.3g} ms × width, {WIDTHS.mean():g} on "
        f"average | {RUNS:,} runs | {hours:,.0f} core hours: {hours / CORES:,.1f} h on {CORES} "
        "cores |",
        f"| curves, each epoch | {curves:.0f} kB, in its block and in the table | 2 × {RUNS:,} | "
        f"{2 * curves * RUNS / 1e9:.2g} TB |",
        f"| table of runs | {row_of_runs:.2g} kB | {RUNS:,} runs | "
        f"{row_of_runs * RUNS / 1e6:.2g} GB |",
        *(
            f"| {WEIGHTS[name]} | {size:.0f} kB | {RUNS:,} | {size * RUNS / 1e9:.2g} TB |"
            for name, size in weights.items()
        ),
        f"| files | 5, a log and a benchmark | {JOBS:,} jobs | {7 * JOBS:,} files |",
        f"| planning, processor | {1000 * seconds_a_job:.2g} ms | {JOBS:,} jobs | "
        f"{seconds_a_job * JOBS / 60:.2g} min |",
        f"| planning, memory | {1000 * mb_a_job:.2g} kB, and {mb_of_none:.0f} MB | {JOBS:,} jobs | "
        f"{(mb_a_job * JOBS + mb_of_none) / 1000:.2g} GB |",
        f"| tracking, one writer | {1000 * track:.0f} ms | {RUNS:,} runs | "
        f"{track * RUNS / 3600:.0f} h |",
        f"| MLflow's database | {1000 * database:.0f} kB | {RUNS:,} runs | "
        f"{database * RUNS / 1e6:.2g} TB |",
    ]
    return "\n".join(lines)


def parts() -> dict[str, str]:
    """The generated parts of docs/scale.md."""
    runs = read_csv(ROOT / "published/tables/runs.csv")
    scale = HERE / "results" / "scale"
    return {"measured": tables(scale), "million": million(scale, runs)}


if __name__ == "__main__":
    page = ROOT / "docs" / "scale.md"
    with atomic(page) as path:
        path.write_text(filled(page.read_text(), parts()))
