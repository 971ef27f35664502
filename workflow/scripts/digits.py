import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.experiment.digits import train_networks
from bnstudy.files import write_csv

source, params = snakemake.wildcards.source, snakemake.params
runs, curves, tuning = train_networks(source, params.seeds, params.tuning_seeds, **params.settings)
write_csv(snakemake.output.table, runs)
write_csv(snakemake.output.curves, curves)
write_csv(snakemake.output.tuning, tuning)
