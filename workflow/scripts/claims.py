import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.analysis.wording import claims_page, claims_table
from bnstudy.config.models import StudySettings
from bnstudy.files import atomic, read_csv, write_csv

study = StudySettings(**snakemake.params.study)
table = claims_table(read_csv(snakemake.input.tests), study)
write_csv(snakemake.output.table, table)
with atomic(snakemake.output.page) as path:
    path.write_text(
        claims_page(table, read_csv(snakemake.input.sensitivity), snakemake.params.captions)
    )
