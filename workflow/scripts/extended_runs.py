import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.collect import collect_runs
from bnstudy.extended import with_settings
from bnstudy.files import write_csv

params, blocks = snakemake.params, snakemake.input
options = {"final_window": params.final_window, "thresholds": params.thresholds}
runs = collect_runs(blocks.curves, blocks.measures, blocks.records, range(2**32), **options)
table = with_settings(runs, blocks.records, params.variants, params.kinds)
write_csv(snakemake.output.table, table)
