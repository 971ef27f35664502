import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.depth import probe
from bnstudy.files import write_csv

params = snakemake.params
table = probe(params.seeds, **params.settings, dataset=params.dataset, batch_norm=params.batch_norm)
write_csv(snakemake.output.table, table)
