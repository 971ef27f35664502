import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.analysis.effects import effects, horizon
from bnstudy.config.models import StudySettings
from bnstudy.files import read_csv, write_csv

study, paths = StudySettings(**snakemake.params.study), snakemake.input
runs, experiments = read_csv(paths.runs), read_csv(paths.experiments)
write_csv(snakemake.output.effects, effects(runs, experiments, study))
write_csv(snakemake.output.horizon, horizon(paths.curves, study))
