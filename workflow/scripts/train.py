import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from bnstudy.start import start_job

start_job(snakemake.log[0])
from bnstudy.experiment.block import BlockFiles, train_block, train_block_once
from bnstudy.experiment.schedules import log_spaced_epochs

inputs, params = snakemake.input, snakemake.params
epochs = log_spaced_epochs(params.settings["epochs"], params.snapshots).tolist()
options = {name: params[name] for name in ("seeds", "settings", "code")}
block = inputs.data, BlockFiles(*map(Path, snakemake.output))
if inputs.choice:
    kept = Path("results/kept"), Path(inputs.choice[0])
    train_block_once(*kept, *block, **options, snapshot_epochs=epochs)
else:
    earlier = BlockFiles(*map(Path, inputs.resume_from)) if inputs.resume_from else None
    train_block(*block, **options, snapshot_epochs=epochs, resume_from=earlier)
