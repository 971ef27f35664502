import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from importlib import import_module

from bnstudy.figures import style
from bnstudy.files import read_tables
from bnstudy.study import FigureSettings

settings = FigureSettings(**snakemake.params.study)
tables = read_tables(snakemake.input.tables, width=settings.original.width)
figure = import_module(f"bnstudy.figures.{snakemake.wildcards.figure}").draw(tables, settings)
for path in snakemake.output:
    style.save(figure, path, settings.preview)
