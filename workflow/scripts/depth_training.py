import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.experiment.depth_training import train_stacks
from bnstudy.files import write_csv

params = snakemake.params
table = train_stacks(
    params.seeds, **params.settings, ranges=params.ranges, batch_norm=params.batch_norm
)
write_csv(snakemake.output.table, table)
