import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.collect import collect_rows
from bnstudy.files import write_parquet

columns = snakemake.params.get("columns", {})
write_parquet(snakemake.output.table, collect_rows(snakemake.input.blocks, **columns))
