import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.config.models import StudySettings
from bnstudy.files import atomic, read_parquet
from bnstudy.report import explorer
from bnstudy.report.tables import read_tables

study = StudySettings(**snakemake.params.study)
curves = read_parquet(snakemake.input.curves, explorer.CURVES).to_pandas()
tables = read_tables(snakemake.input.tables) | {"curves_thinned": curves}
page = explorer.page(tables, Path(snakemake.input.template).read_text(), study)
with atomic(snakemake.output.page) as path:
    path.write_text(page)
