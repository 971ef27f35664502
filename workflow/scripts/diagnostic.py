import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.analysis.collect import BlockOfScope
from bnstudy.analysis.networks import diagnose
from bnstudy.files import write_parquet

inputs, params = snakemake.input, snakemake.params
folders = [Path(record).parent for record in inputs.records]
blocks = [BlockOfScope(*block) for block in zip(folders, params.seeds, strict=True)]
write_parquet(snakemake.output.table, [diagnose(blocks, params.settings)])
