import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.claims import claims_page, claims_table
from bnstudy.figures.captions import Caption
from bnstudy.files import atomic, read_csv, write_csv
from bnstudy.study import Analysis

analysis = Analysis(**snakemake.params.analysis)
table = claims_table(read_csv(snakemake.input.tests), analysis, snakemake.params.preview)
write_csv(snakemake.output.table, table)
captions = {name: Caption(*parts) for name, parts in snakemake.params.captions.items()}
with atomic(snakemake.output.page) as path:
    path.write_text(claims_page(table, read_csv(snakemake.input.sensitivity), captions))
