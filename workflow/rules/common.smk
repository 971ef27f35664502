"""The study as the rules see it: checked settings, and every helper function they use."""

import json
import math
import os
import time

from snakemake.utils import update_config

from bnstudy.figures.captions import TABLES, captions
from bnstudy.study import Block, ConfigError, FigureSettings, Study, retyped

update_config(config, retyped(workflow.config_settings.config))

try:
    STUDY = Study.from_config(config)
except ConfigError as error:
    raise WorkflowError(f"The configuration cannot be used:\n{error}")


wildcard_constraints:
    arm="[a-z-]+",
    width=r"\d+",
    start=r"\d+",


def modules(*names):
    """Source files of the package, as inputs: an edit reruns the rule, a touch does not.

    Relative to the working folder, so that a clone can be moved with its results.
    """
    return [os.path.relpath(ROOT / "src" / "bnstudy" / name) for name in names]


TRAINING_CODE = [
    "data.py",
    "networks.py",
    "fused.py",
    "training.py",
    "features.py",
    "blocks.py",
    "files.py",
]
# A block of seeds: the folder of its files, of its log, of its benchmark.
BLOCK = "{arm}/width_{width}/seeds_{start}"
BLOCK_FILES = [
    "curves.parquet",
    "measures.parquet",
    "checkpoint.safetensors",
    "record.json",
]
BLOCKS = sorted(STUDY.blocks())
# Figure: title and text, the same in the paper, the report and the claims page.
CAPTIONS = {name: list(caption) for name, caption in captions(STUDY).items()}
VARIANTS = {variant.name: variant for variant in STUDY.variants()}
EXTENDED_BLOCKS = sorted(STUDY.extended_blocks())


def study_of(name, default):
    """Which study a figure or table belongs to; `default`: the names of the default study's."""
    return "default" if name in default else "extended"


def block_of(wildcards):
    """The block that a training job's wildcards name."""
    return Block(wildcards.arm, int(wildcards.width), int(wildcards.start))


def dataset_files(blocks):
    """The datasets that the training jobs `blocks` use."""
    starts = sorted({block.start for block in blocks})
    return expand("results/datasets/seeds_{start}.npz", start=starts)


def block_files(name):
    """The file `name` of every block, sorted by arm, width and first seed.

    As a function: a list would be gone through whenever the workflow is read, for each job on a
    cluster too, and there may be ten thousands of blocks.
    """
    pattern = f"results/training/{BLOCK}/{name}"
    return lambda wildcards: [pattern.format(**block._asdict()) for block in BLOCKS]


def extended_block_files(name):
    """The same of every block of the extended study, sorted by variant first."""
    pattern = f"results/extended/{{variant}}/{BLOCK}/{name}"
    return lambda wildcards: [
        pattern.format(**block._asdict()) for block in EXTENDED_BLOCKS
    ]


def earlier_block(wildcards):
    """The files to go on from: the default study's, if a block only has more epochs than there."""
    block = block_of(wildcards)
    if VARIANTS[wildcards.variant].kind != "epochs" or block not in BLOCKS:
        return []
    if not set(STUDY.extended_block_seeds(block.start)) <= set(
        STUDY.block_seeds(block)
    ):
        return []
    if STUDY.extended.horizon.epochs <= STUDY.training.epochs:
        return []
    return expand(
        f"results/training/{BLOCK}/{{name}}", name=BLOCK_FILES, **block._asdict()
    )


def training_minutes(width, seeds, settings):
    """Minutes to ask a cluster for: half an hour, and six times what a core takes (measured)."""
    models, epochs = len(seeds), settings["training"]["epochs"]
    samples = STUDY.dataset.train_size + STUDY.dataset.test_size
    seconds = 1.3e-9 * models * epochs * samples * (int(width) + 20)
    return 30 + math.ceil(6 * seconds / 60)


def training_megabytes(seeds):
    """Memory to ask for: PyTorch, and for each model its curves, its state and its data."""
    samples = STUDY.dataset.train_size + STUDY.dataset.test_size
    return 1000 + math.ceil(len(seeds) * (2 + 1.5e-4 * samples))


# What tracking says of itself: of the runs, of the study, of the extended study.
RECEIPTS = [f"results/tracking/{name}.json" for name in ("runs", "study", "extended")]


def owed(receipt):
    """Why `receipt` is none: MLflow was not available, or the file is damaged; else None."""
    try:
        return json.loads(Path(receipt).read_text()).get("missing")
    except FileNotFoundError:
        return None
    except ValueError:
        return f"{receipt} is damaged."


def say_what_is_not_tracked():
    """One clear line at the end, where a user sees it."""
    if not STUDY.mlflow.enabled:
        logger.warning(
            "mlflow.enabled is false: nothing was tracked. `make track` does it whenever you like."
        )
    elif missing := next(filter(None, map(owed, RECEIPTS)), None):
        logger.warning(
            f"The study is not (wholly) in MLflow, all else is done. {missing}\n"
            "To make up for it: `make track`, or the same snakemake command again."
        )
