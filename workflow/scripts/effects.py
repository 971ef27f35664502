import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.extended import effects, horizon
from bnstudy.files import read_csv, read_curves, write_csv
from bnstudy.study import Analysis

analysis, paths = Analysis(**snakemake.params.analysis), snakemake.input
write_csv(
    snakemake.output.effects, effects(read_csv(paths.runs), read_csv(paths.default), analysis)
)
curves = read_curves(paths.curves, variant=snakemake.params.horizon)
write_csv(snakemake.output.horizon, horizon(curves, analysis))
