import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.data import make_data
from bnstudy.files import write_data

write_data(snakemake.output.data, make_data(snakemake.params.seeds, **snakemake.params.settings))
