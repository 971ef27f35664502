import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.config.models import Study
from bnstudy.files import read_csv, write_json
from bnstudy.tracking.importer import track_if_available

paths, study = snakemake.input, Study.from_config(snakemake.params.study)
receipt = track_if_available(
    *(read_csv(paths.runs), paths.records, study, Path.cwd()),
    experiments=read_csv(paths.experiments),
    scope=snakemake.wildcards.scope,
    files=paths.get("artifacts", []),
)
write_json(snakemake.output.receipt, receipt)
