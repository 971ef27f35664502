import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.analysis.effects import horizon, horizon_curves
from bnstudy.analysis.envelope import envelope, envelope_curves
from bnstudy.config.models import StudySettings
from bnstudy.files import read_csv, write_csv

study = StudySettings(**snakemake.params.study)
read = Path(snakemake.input.curves), read_csv(snakemake.input.experiments), study
write_csv(snakemake.output.horizon, horizon(horizon_curves(*read), study))
write_csv(snakemake.output.envelope, envelope(envelope_curves(*read), study))
