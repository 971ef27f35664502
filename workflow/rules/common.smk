"""The study as the rules see it: checked settings, and every helper function they use."""

import os
import time

from snakemake.utils import update_config

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
VARIANTS = {variant.name: variant for variant in STUDY.variants()}
EXTENDED_BLOCKS = sorted(STUDY.extended_blocks())


def block_of(wildcards):
    """The block that a training job's wildcards name."""
    return Block(wildcards.arm, int(wildcards.width), int(wildcards.start))


def block_files(name):
    """The file `name` of every block, sorted by arm, width and first seed."""
    return [f"results/training/{BLOCK}/{name}".format(**b._asdict()) for b in BLOCKS]


def extended_block_files(name):
    """The same of every block of the extended study, sorted by variant first."""
    return [
        f"results/extended/{{variant}}/{BLOCK}/{name}".format(**b._asdict())
        for b in EXTENDED_BLOCKS
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
