"""The study as the rules see it: checked settings, and every helper function they use."""

import os
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from bnstudy.study import Block, ConfigError, Study, retyped

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
    "blocks.py",
    "files.py",
]


def block_of(wildcards):
    """The block that a training job's wildcards name."""
    return Block(wildcards.arm, int(wildcards.width), int(wildcards.start))


def block_files(name):
    """The file `name` of every block, sorted by arm, width and first seed."""
    return [
        f"results/training/{arm}/width_{width}/seeds_{start}/{name}"
        for arm, width, start in sorted(STUDY.blocks())
    ]
