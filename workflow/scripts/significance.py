import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.files import read_csv, write_csv
from bnstudy.hypotheses import sensitivity, significance
from bnstudy.study import Analysis

analysis = Analysis(**snakemake.params.analysis)
tables = {name: read_csv(snakemake.input[name]) for name in ("runs", "gradients", "digits")}
tests = significance(tables, analysis, snakemake.params.preview)
write_csv(snakemake.output.table, tests)
write_csv(snakemake.output.sensitivity, sensitivity(tables, analysis))
