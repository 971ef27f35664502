import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.analysis.versions import versions
from bnstudy.files import read_json, write_csv

write_csv(snakemake.output.table, versions(map(read_json, snakemake.input.records)))
