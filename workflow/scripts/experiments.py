import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.analysis.collect import experiments_table
from bnstudy.files import write_csv

write_csv(snakemake.output.table, experiments_table(snakemake.params.rows))
