import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.experiment.depth import measure_gradients
from bnstudy.files import write_csv

params = snakemake.params
table = measure_gradients(
    params.seeds, **params.settings, dataset=params.dataset, batch_norm=params.batch_norm
)
write_csv(snakemake.output.table, table)
