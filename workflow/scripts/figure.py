import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.config import members
from bnstudy.config.models import StudySettings
from bnstudy.report import style
from bnstudy.report.tables import read_tables

study = StudySettings(**snakemake.params.study)
draw = members.load("figures", snakemake.wildcards.figure).draw
figure = draw(read_tables(snakemake.input.tables), study)
for path in snakemake.output:
    style.save(figure, path, study.preview)
