import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.analysis.collect import BlockOfScope
from bnstudy.analysis.curvature import curvature_of_cell
from bnstudy.files import write_csv

params = snakemake.params
folders = [Path(record).parent for record in snakemake.input.records]
blocks = [BlockOfScope(*block) for block in zip(folders, params.seeds, strict=True)]
write_csv(snakemake.output.table, curvature_of_cell(blocks, params.points))
