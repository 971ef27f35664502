import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.files import atomic, read_csv
from bnstudy.report.captions import Caption
from bnstudy.report.paper import build, contents

paths, params = snakemake.input, snakemake.params
tables = {Path(path).stem: read_csv(path) for path in paths.tables}
captions = {name: Caption(*parts) for name, parts in params.captions.items()}
values = contents(tables, params.settings, captions, params.publication)
source, figures, attached = Path(paths.source[0]).parent, paths.figures, paths.tables
pdf, warnings = build(source, map(Path, figures), map(Path, attached), values)
print(warnings, end="")
with atomic(snakemake.output.pdf) as path:
    path.write_bytes(pdf)
