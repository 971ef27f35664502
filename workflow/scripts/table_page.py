import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.files import atomic, read_csv
from bnstudy.report.pages import table_page

with atomic(snakemake.output.page) as path:
    path.write_text(table_page(read_csv(snakemake.input.table), *snakemake.params.caption))
