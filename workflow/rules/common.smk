"""The study as the rules see it: checked settings, the plan, and the functions that rules share."""

import json
import math
import os
import subprocess
import sys
import time
from functools import cache

from snakemake.utils import update_config

from bnstudy.commands.__main__ import OTHERS
from bnstudy.config import members
from bnstudy.config.checks import ConfigError, retyped
from bnstudy.config.code import digest
from bnstudy.config.models import Study, StudySettings
from bnstudy.config.plan import SCOPES, Plan
from bnstudy.report.captions import LONG, TABLES, captions
from bnstudy.report.publication import publication

update_config(config, retyped(workflow.config_settings.config))

try:
    STUDY = Study.from_config(config)
except ConfigError as error:
    raise WorkflowError(f"The configuration cannot be used:\n{error}")
PLAN = Plan(STUDY)
if os.path.isdir("results/training"):
    raise WorkflowError(
        "results/ holds the results of the first edition, of which nothing can be used:"
        " move results/ and mlflow.db away, or delete both (`make clean`)."
    )

# Snakemake keeps its notes for their user alone, and ends with a traceback where it cannot read them.
note = next(Path(".snakemake/metadata").glob("*"), None)
if note and not os.access(note, os.R_OK):
    raise WorkflowError(
        f"The study in {os.getcwd()} is another user's, who alone can go on with it. {OTHERS}"
    )


wildcard_constraints:
    scope="(extended/)?",  # every rule is written once, for the default experiments and for all
    cell="[a-z0-9.+-]+",
    data="[a-z0-9-]+",
    start=r"\d+",


# A block of seeds: the folder of its files, of its log, of its benchmark.
BLOCK = "{cell}/seeds_{start}"
BLOCK_FILES = [
    "curves.parquet",
    "snapshots.safetensors",
    "checkpoint.safetensors",
    "record.json",
]
FORMATS = ["pdf", "svg", "png"]
# Tables of the experiments of their own kind: the experiment that makes each.
OWN_TABLES = {
    "gradients": "depth",
    "depth_training": "depth_training",
    "digits": "digits",
    "digits_curves": "digits",
    "digits_tuning": "digits",
    "mnist1d": "mnist1d",
    "mnist1d_curves": "mnist1d",
    "mnist1d_tuning": "mnist1d",
    "curvature": "curvature",
}
# The columns of all diagnostics, and what they mean.
DIAGNOSED = {
    column: meaning
    for name in members.names("diagnostics")
    for column, meaning in members.declared("diagnostics", name)["COLUMNS"].items()
}
# What analysis and report know of the study.
SETTINGS = STUDY.model_dump(include=set(StudySettings.model_fields))
# Figure or table: title and text, the same in the paper, the report and the claims page.
CAPTIONS = {name: list(caption) for name, caption in captions(STUDY).items()}


@cache
def code(script, *used, looks=False):
    """What a rule's script runs, by content: an edit of it reruns the rule, a touch does not.

    Cached, since every job asks, and there may be ten thousands that run the same.
    """
    return digest(ROOT / "workflow" / "scripts" / script, used, looks)


def all_members(kind):
    """Every member of a kind, for rules that use them all."""
    return [(kind, name) for name in members.names(kind)]


def used_in(scope, kind):
    """The arms, or the tasks, of a scope's runs."""
    setting = kind.removesuffix("s")
    names = {getattr(block.cell, setting) for block in PLAN.blocks(scope)}
    return [(kind, name) for name in sorted(names)]


def block_of(wildcards):
    """The block that a training job's wildcards name."""
    return PLAN.block(wildcards.cell, wildcards.start)


@cache
def cells_of(scope):
    """The blocks of a scope by the name of their cell."""
    cells = {}
    for block in PLAN.blocks(scope):
        cells.setdefault(block.cell.name, []).append(block)
    return cells


def tuned_cells(scope):
    """The cells whose learning rate and schedule are chosen."""
    return [c for c, [block, *_] in cells_of(scope).items() if block.cell.tuned]


def saved_cells(scope):
    """The cells whose networks were saved; tuning seeds' are not, and there is nothing to look at."""
    return [
        c for c, blocks in cells_of(scope).items() if any(map(PLAN.snapshots, blocks))
    ]


def cell_files(name):
    """The file `name` of every block of the wildcards' cell, in their scope."""
    return lambda wildcards: [
        f"results/runs/{block.place}/{name}"
        for block in cells_of(wildcards.scope)[wildcards.cell]
    ]


def looked_at_files(name):
    """The file `name` of every block of the wildcards' cell at which `curvature` looks."""
    return lambda wildcards: [
        f"results/runs/{block.place}/{name}" for block in PLAN.looked_at[wildcards.cell]
    ]


def study_of(wildcards):
    """What the report calls the scope."""
    return "extended" if wildcards.scope else "default"


def files_of(block, *names):
    """Files of one block."""
    return [f"results/runs/{block.place}/{name}" for name in names]


def block_files(name, scope=None):
    """The file `name` of every block of a scope (by default that of the wildcards), sorted.

    As a function: a list would be gone through whenever the workflow is read, for each job on a
    cluster too, and there may be ten thousands of blocks.
    """
    return lambda wildcards: [
        f"results/runs/{block.place}/{name}"
        for block in PLAN.blocks(wildcards.scope if scope is None else scope)
    ]


def dataset_of(block):
    """The file of the data that a block trains on."""
    return f"results/datasets/{block.cell.data}/seeds_{block.start}.npz"


def dataset_files(scope=None):
    """The datasets that the training jobs of a scope use, each once."""
    return lambda wildcards: list(
        dict.fromkeys(
            map(dataset_of, PLAN.blocks(wildcards.scope if scope is None else scope))
        )
    )


def tables_of(scope):
    """The tables of a scope, as files."""
    own = [t for t, name in OWN_TABLES.items() if name in PLAN.experiments(scope)]
    return [
        "curves.parquet",
        "curves_thinned.parquet",
        "diagnostics.parquet",
        "experiments.csv",
        "runs.csv",
        "tuning.csv",
        *(f"{table}.csv" for table in own),
        "significance.csv",
        "sensitivity.csv",
        "claims.csv",
        "effects.csv",
        "horizon.csv",
        "envelope.csv",
        "tasks.csv",
        "associations.csv",
        "versions.csv",
        *(["prediction.csv"] if "curvature" in own else []),
    ]


def figures_of(scope):
    """The figures whose tables a scope has."""
    made = set(tables_of(scope))
    return [
        figure
        for figure in members.names("figures")
        if made >= set(members.declared("figures", figure)["TABLES"])
    ]


def in_scope(folder, names):
    """These files of the folder of the wildcards' scope; `names` may be a function of the scope."""
    return lambda wildcards: [
        f"results/{wildcards.scope}{folder}/{name}"
        for name in (names(wildcards.scope) if callable(names) else names)
    ]


def made_in(scope, *, tracked):
    """Every file that the rules make in a scope.

    A failed job takes its old files away; were they not asked for, Snakemake would not miss them,
    and leave what was once made from them as it is.
    """
    shared = [
        f"results/runs/{experiment}/{table}.csv"
        for table, experiment in OWN_TABLES.items()
        if experiment in PLAN.experiments(scope)
    ]
    if "curvature" in PLAN.experiments(scope):
        shared += [f"results/curvature/{cell}.csv" for cell in PLAN.looked_at]
    shared += [
        f"results/tuning/{cell}.{format}"
        for cell in tuned_cells(scope)
        for format in ("json", "csv")
    ]
    files = [
        *(f"diagnostics/{cell}.parquet" for cell in saved_cells(scope)),
        *(f"tables/{table}" for table in tables_of(scope)),
        *(
            f"figures/{name}.{format}"
            for name in figures_of(scope)
            for format in FORMATS
        ),
        "claims.md",
        "claims.html",
        "explorer.html",
        "paper.pdf",
        *(["tracking/runs.json", "tracking/study.json"] if tracked else []),
    ]
    return shared + [f"results/{scope}{file}" for file in files]


def training_code(wildcards):
    """The code that trains a block: its arm, its task and its optimizer, not all of them."""
    cell = block_of(wildcards).cell
    used = ("arms", cell.arm), ("tasks", cell.task), ("optimizers", cell.optimizer)
    return code("train.py", *used)


def diagnostic_code(wildcards):
    """The code of all diagnostics, and of the arm and the task of a cell."""
    cell = cells_of(wildcards.scope)[wildcards.cell][0].cell
    used = ("arms", cell.arm), ("tasks", cell.task)
    return code("diagnostic.py", *all_members("diagnostics"), *used)


def resumed_files(wildcards):
    """The files of the shorter block that this one continues, if there is one."""
    earlier = PLAN.resumed(block_of(wildcards))
    return files_of(earlier, *BLOCK_FILES) if earlier else []


def choice_of(wildcards):
    """The file of what was chosen for a block's cell, if it is tuned."""
    cell = block_of(wildcards).cell
    return [f"results/tuning/{cell.name}.json"] if cell.tuned else []


def tried_files(cell, name):
    """The file `name` of every block from which a tuned cell's settings are chosen."""
    return [
        f"results/runs/{block.place}/{name}" for block in PLAN.tried(PLAN.cell(cell))
    ]


def own(name):
    """Settings of an experiment of its own kind, without its seeds; nothing where a study lacks it."""
    experiment = getattr(STUDY.experiments, name)
    return experiment.model_dump(exclude={"seeds"}) if experiment else {}


def own_seeds(name):
    """The seeds of an experiment of its own kind."""
    experiment = getattr(STUDY.experiments, name)
    return list(STUDY.seeds_of(experiment)) if experiment else []


def tested_tables(scope):
    """The tables that the claims' tests read, as far as a scope has them."""
    read = [
        "runs.csv",
        "tuning.csv",
        "gradients.csv",
        "digits.csv",
        "digits_tuning.csv",
        "mnist1d.csv",
        "mnist1d_tuning.csv",
    ]
    return [table for table in read if table in tables_of(scope)]


def told_tables(scope):
    """The tables that the paper tells of, as far as a scope has them."""
    names = (
        "claims",
        "significance",
        "sensitivity",
        "runs",
        "experiments",
        "effects",
        "horizon",
        "tasks",
        "associations",
        "prediction",
        "versions",
    )
    return [f"{name}.csv" for name in names if f"{name}.csv" in tables_of(scope)]


def warn_of_edges():
    """One line per choice of a rate that may be none; called when all is done."""
    from bnstudy.analysis.tuning import edges

    scope = SCOPES["extended" in workflow.dag_settings.targets]
    for edge in edges(Path(f"results/{scope}tables")):
        logger.warning(f"Tuning: {edge} (what it decides is not estimable).")


# What tracking says of itself: of the runs and of the study, in either scope.
RECEIPTS = [
    f"results/{scope}tracking/{name}.json"
    for scope in SCOPES
    for name in ("runs", "study")
]


def missing_reason(receipt):
    """Why `receipt` is none: MLflow was not available, or the file is damaged; else None."""
    try:
        return json.loads(Path(receipt).read_text()).get("missing")
    except FileNotFoundError:
        return None
    except ValueError:
        return f"{receipt} is damaged."


def warn_if_untracked():
    """One clear line at the end, where a user sees it."""
    if not STUDY.mlflow.enabled:
        logger.warning(
            "mlflow.enabled is false: nothing was tracked. `make track` does it whenever you like."
        )
    elif missing := next(filter(None, map(missing_reason, RECEIPTS)), None):
        logger.warning(
            f"The study is not (wholly) in MLflow, all else is done. {missing}\n"
            "To make up for it: `make track`, or the same snakemake command again."
        )


def study_artifacts(scope):
    """What the run `study` holds."""
    shown = ("tables/", "figures/", "claims.md", "paper.pdf", "explorer.html")
    return [
        file
        for file in made_in(scope, tracked=False)
        if file.removeprefix(f"results/{scope}").startswith(shown)
    ]


def due_blocks():
    """The places of the blocks that this run trains."""
    return {
        BLOCK.format(**job.wildcards_dict)
        for job in workflow.dag.needrun_jobs()
        if job.rule.name == "train"
    }


WATCHERS = []  # of this run: one, or none


def start_watching():
    """Log finished blocks to MLflow beside the training; called by onstart, in training.smk."""
    if not (workflow.is_main_process and STUDY.mlflow.enabled):
        return
    command = [sys.executable, "-m", "bnstudy.commands", "watch"]
    places = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}
    with open("logs/watch.log", "w") as log:
        watcher = subprocess.Popen(
            [*command, "--child-of", str(os.getpid())],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    WATCHERS.append(watcher)


def stop_watching():
    """The study is over: what is still missing is logged, or was not to be had."""
    for watcher in WATCHERS:
        watcher.terminate()
        watcher.wait()
