import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.blocks import BlockFiles, train_block

start = snakemake.input.get("start")
train_block(
    snakemake.input.data,
    BlockFiles(*snakemake.output),
    arm=snakemake.wildcards.arm,
    width=int(snakemake.wildcards.width),
    seeds=snakemake.params.seeds,
    settings=snakemake.params.settings,
    measured=snakemake.params.measured,
    start=BlockFiles(*start) if start else None,
)
