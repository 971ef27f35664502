import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.files import atomic
from bnstudy.report.pages import markdown_page

source = Path(snakemake.input.page)
with atomic(snakemake.output.page) as path:
    path.write_text(markdown_page(source.read_text(), source.parent))
