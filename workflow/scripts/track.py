import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.config.models import Study
from bnstudy.files import read_csv, write_json
from bnstudy.tracking.importer import track_if_available

receipt = track_if_available(
    read_csv(snakemake.input.runs),
    snakemake.input.records,
    Study.from_config(snakemake.params.study),
    Path.cwd(),
    experiments=read_csv(snakemake.input.experiments),
    scope=snakemake.wildcards.scope,
    files=snakemake.input.get("artifacts", []),
)
write_json(snakemake.output.receipt, receipt)
