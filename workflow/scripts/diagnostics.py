import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.analysis.collect import collect_diagnostics
from bnstudy.files import read_parquet, write_parquet

tables = [read_parquet(path) for path in snakemake.input.tables]
write_parquet(snakemake.output.table, [collect_diagnostics(tables, snakemake.params.columns)])
