import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.experiment.data import make_data, write_data

params, (task, _, inputs) = snakemake.params, snakemake.wildcards.data.rpartition("-")
data = make_data(params.seeds, task, inputs, task_settings=params.task_settings, **params.settings)
write_data(snakemake.output.data, data)
