import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.analysis.collect import blocks_of_scope, collect_runs
from bnstudy.files import read_csv, read_parquet, write_csv

params = snakemake.params
blocks = blocks_of_scope(snakemake.input.records, read_csv(snakemake.input.experiments))
diagnostics = read_parquet(snakemake.input.diagnostics).to_pandas()
options = {"final_window": params.final_window, "thresholds": params.thresholds}
write_csv(snakemake.output.table, collect_runs(blocks, diagnostics, **options))
