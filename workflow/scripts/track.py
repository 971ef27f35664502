import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.files import read_csv, write_json
from bnstudy.study import Study
from bnstudy.tracking.importer import track_or_say_why_not

receipt = track_or_say_why_not(
    read_csv(snakemake.input.runs),
    snakemake.input.records,
    Study(**snakemake.params.study),
    Path.cwd(),
    files=snakemake.input.get("shown", []),
)
write_json(snakemake.output.receipt, receipt)
