import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.files import read_csv, write_json
from bnstudy.tracking import track

receipt = track(
    read_csv(snakemake.input.runs),
    Path(snakemake.input.curves),
    [Path(record) for record in snakemake.input.records],
    study_directory=Path.cwd(),
    **snakemake.params.settings,
)
write_json(snakemake.output.receipt, receipt)
