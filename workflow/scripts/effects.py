import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.analysis.effects import effects
from bnstudy.analysis.tasks import associations, task_table
from bnstudy.config.models import StudySettings
from bnstudy.files import read_csv, write_csv

params, study = snakemake.params, StudySettings(**snakemake.params.study)
runs, experiments = read_csv(snakemake.input.runs), read_csv(snakemake.input.experiments)
write_csv(snakemake.output.effects, effects(runs, experiments, study, params.arm_settings))
tasks = task_table(runs, study)
write_csv(snakemake.output.tasks, tasks)
write_csv(snakemake.output.associations, associations(tasks, study.analysis.alpha))
