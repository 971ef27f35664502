import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.collect import collect_runs
from bnstudy.files import write_csv

params = snakemake.params
runs = collect_runs(
    snakemake.input.curves,
    snakemake.input.measures,
    snakemake.input.records,
    range(params.grid_seeds["first"], params.grid_seeds["first"] + params.grid_seeds["count"]),
    final_window=params.final_window,
    thresholds=params.thresholds,
)
write_csv(snakemake.output.table, runs)
