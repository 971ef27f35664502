import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.analysis.effects import effects, horizon, horizon_curves
from bnstudy.analysis.tasks import associations, task_table
from bnstudy.config.models import StudySettings
from bnstudy.files import read_csv, write_csv

params, paths = snakemake.params, snakemake.input
study, runs, experiments = StudySettings(**params.study), read_csv(paths.runs), read_csv(paths[1])
write_csv(snakemake.output.effects, effects(runs, experiments, study, params.arm_settings))
curves = horizon_curves(Path(paths.curves), experiments, study)
write_csv(snakemake.output.horizon, horizon(curves, study))
tasks = task_table(runs, study)
write_csv(snakemake.output.tasks, tasks)
write_csv(snakemake.output.associations, associations(tasks, study.analysis.alpha))
