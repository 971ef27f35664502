import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.analysis.comparisons import sensitivity, significance
from bnstudy.config.models import StudySettings
from bnstudy.files import read_csv, write_csv

study = StudySettings(**snakemake.params.study)
tables = {Path(path).stem: read_csv(path) for path in snakemake.input.tables}
write_csv(snakemake.output.table, significance(tables, study))
write_csv(snakemake.output.sensitivity, sensitivity(tables, study))
