import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.logs import open_log

open_log(snakemake.log[0])
from bnstudy.experiment.block import BlockFiles, train_block
from bnstudy.experiment.schedules import log_spaced_epochs

params, earlier = snakemake.params, snakemake.input.get("resume_from")
epochs, points = params.settings["epochs"], params.snapshots
train_block(
    snakemake.input.data,
    BlockFiles(*map(Path, snakemake.output)),
    **{name: params[name] for name in ("seeds", "settings", "code")},
    snapshot_epochs=log_spaced_epochs(epochs, points).tolist() if points else [],
    resume_from=BlockFiles(*map(Path, earlier)) if earlier else None,
)
