import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.analysis.collect import BlockOfScope
from bnstudy.analysis.tuning import chosen, tried
from bnstudy.files import write_csv, write_json

folders = [Path(record).parent for record in snakemake.input.records]
blocks = [BlockOfScope(*block) for block in zip(folders, snakemake.params.seeds, strict=True)]
table = tried(blocks, snakemake.params.cell, **snakemake.params.analysis)
write_csv(snakemake.output.table, table)
write_json(snakemake.output.choice, chosen(table, snakemake.params.cell["tuned_rank"]))
