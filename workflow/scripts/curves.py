import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.analysis.collect import blocks_of_scope, collect_curves
from bnstudy.files import read_csv, write_parquet

blocks = blocks_of_scope(snakemake.input.records, read_csv(snakemake.input.experiments))
write_parquet(snakemake.output.table, collect_curves(blocks))
write_parquet(snakemake.output.thinned, collect_curves(blocks, thinned=True))
