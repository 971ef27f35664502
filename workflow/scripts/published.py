import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
shutil.copyfile(snakemake.input.table, snakemake.output.table)
