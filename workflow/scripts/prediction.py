import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.analysis.prediction import predictions
from bnstudy.config.models import StudySettings
from bnstudy.files import read_csv, write_csv

study, paths = StudySettings(**snakemake.params.study), snakemake.input
table = predictions(read_csv(paths.runs), read_csv(paths.curvature), study)
write_csv(snakemake.output.table, table)
