import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.experiment.data import make_data, write_data

task, _, inputs = snakemake.wildcards.data.rpartition("-")
data = make_data(snakemake.params.seeds, task, inputs, **snakemake.params.settings)
write_data(snakemake.output.data, data)
