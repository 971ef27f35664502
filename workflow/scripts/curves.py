import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.collect import collect_curves
from bnstudy.files import write_parquet

write_parquet(snakemake.output.table, collect_curves(snakemake.input.curves))
