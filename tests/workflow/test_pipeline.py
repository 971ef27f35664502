"""The real `snakemake` command on a tiny study: end to end, and only what changed is redone."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from snakemake.utils import update_config

from bnstudy.commands.publish import publish
from bnstudy.config import code, members
from bnstudy.config.models import Study
from bnstudy.config.plan import SETTINGS, Plan
from tests.clone import ROOT, Clone
from tests.services import wait_until

# Of the default experiments.
FIGURES = [
    name
    for name in members.names("figures")
    if not {"curvature.csv", "depth_training.csv", "mnist1d.csv"}
    & set(members.declared("figures", name)["TABLES"])
]
SHOWING_FIGURES = {"paper", "claims_page", "track_study"}  # they have figures in them
TRACKING = {"track_runs", "track_study"}
BLOCKS = 3 * 2 * 2 + 2  # widths 5 and 8, the attribution at 8: two arms, two blocks; the original
CELLS = 3 * 2
# Five experiments with two arms and two blocks; dropout with one arm; twice two rates, one block of
# tuning seeds each; two objectives and, for minibatches, one, with the runners-up of both.
EXTENDED_BLOCKS = 5 * 2 * 2 + 2 + 2 * (2 * 2) + 2 * (2 * 2 * 2 + 2 * 2)
CELL = "none-w5-e30"


def recording(clone: Clone) -> dict[str, str]:
    """An environment in which each job leaves the modules that it loaded in the folder `loaded`."""
    (clone.folder / "loaded").mkdir(exist_ok=True)
    recorder = str(Path(__file__).parent / "record")
    return os.environ | {"LOADED": str(clone.folder / "loaded"), "PYTHONPATH": recorder}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A finished tiny study."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    result = clone.snakemake(env=recording(clone))
    assert result.returncode == 0, result.stderr[-3000:]
    return clone


class Edit:
    """Edits files for one test."""

    def __init__(self, clone: Clone):
        self.clone = clone
        self.before: dict[str, tuple[bytes, int] | None] = {}  # content, time in ns

    def append(self, path: str, text: str = "\nEDITED = True\n") -> None:
        self.write(path, (self.clone.folder / path).read_text() + text)

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.clone.folder / path).read_text()
        assert old in text
        self.write(path, text.replace(old, new, 1))

    def write(self, path: str, text: str) -> None:
        file = self.clone.folder / path
        there = file.exists()
        self.before.setdefault(
            path, (file.read_bytes(), file.stat().st_mtime_ns) if there else None
        )
        file.write_text(text)

    def undo(self) -> None:
        for path, before in self.before.items():
            file = self.clone.folder / path
            if before is None:
                file.unlink()
                continue
            content, time = before
            file.write_bytes(content)
            os.utime(file, ns=(time, time))


@pytest.fixture
def edit(clone):
    """Edit files or the settings for one test; both are put back afterwards."""
    settings, edit = yaml.safe_dump(clone.settings), Edit(clone)
    yield edit
    clone.settings = yaml.safe_load(settings)
    edit.undo()


def read(clone: Clone, table: str, scope: str = "") -> pd.DataFrame:
    """A table of the study's results; the arm `none` is a text."""
    path = clone.folder / f"results/{scope}tables/{table}"
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def plan_of(clone: Clone) -> Plan:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, clone.settings)
    return Plan(Study.from_config(config))


def test_the_study_is_whole(clone):
    results, plan = clone.folder / "results", plan_of(clone)
    runs = read(clone, "runs.csv")
    assert len(runs) == 3 * 2 * 7 + 2 and runs.run_key.is_unique and (runs.seconds > 0).all()
    assert list(runs.columns[: len(SETTINGS) + 2]) == ["run_key", "cell", *SETTINGS]
    curves = read(clone, "curves.parquet")
    losses = ["train_loss", "test_loss", "train_loss_eval", "steps"]
    assert list(curves.columns) == ["cell", *SETTINGS, "seed", "epoch", *losses]
    assert len(curves) == len(runs) * 30 and curves.steps.isna().all()
    wanted = [
        (block.cell.name, seed, epoch)
        for block in plan.blocks("")
        for seed in plan.seeds(block, "")
        for epoch in range(30)
    ]
    assert list(curves[["cell", "seed", "epoch"]].itertuples(index=False, name=None)) == wanted
    assert pq.read_metadata(results / "tables/curves.parquet").num_row_groups == BLOCKS
    diagnostics = read(clone, "diagnostics.parquet")
    assert len(diagnostics) == len(runs) * 5 and diagnostics.epoch.max() == 29
    assert read(clone, "experiments.csv").to_dict("records") == [
        row | {"batch_size": "full"} for row in plan.rows("")
    ]
    claims = read(clone, "claims.csv")
    assert list(claims.claim.unique()) == ["C1", "C2", "C3", "C4", "C5"]
    page = (results / "claims.md").read_text()
    assert all(words in page for words in [*claims.evidence, *claims.summary])
    assert set(read(clone, "sensitivity.csv").claim) == set(claims.claim)
    for figure in FIGURES:
        assert all((results / f"figures/{figure}.{s}").exists() for s in ("pdf", "svg", "png"))
    assert (results / "paper.pdf").read_bytes().startswith(b"%PDF")
    assert "data:image/svg" in (results / "claims.html").read_text()
    assert (clone.folder / "mlflow.db").exists()


def test_every_run_is_in_mlflow_once(clone):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{clone.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    everything = client.search_runs([experiment.experiment_id], max_results=1000)
    assert {run.info.status for run in everything} == {"FINISHED"}
    of_level = {
        level: [run for run in everything if run.data.tags["level"] == level]
        for level in ("study", "cell", "seed")
    }
    assert len(of_level["study"]) == 1 and len(of_level["cell"]) == 3 * 2
    tracked, runs = of_level["seed"], read(clone, "runs.csv")
    assert sorted(run.data.tags["run_key"] for run in tracked) == sorted(runs.run_key)
    by_key = runs.set_index("run_key")
    for run in tracked:
        row = by_key.loc[run.data.tags["run_key"]]
        assert run.data.metrics["final_test_loss"] == row.final_test_loss
        assert run.data.params["epochs"] == "30" and run.data.params["cell"] == row.cell
        assert len(client.get_metric_history(run.info.run_id, "loss/train")) > 10


def test_the_watcher_logs_beside_training(clone):
    """Started by `snakemake`, gone with it."""
    assert "Traceback" not in (clone.folder / "logs/watch.log").read_text()
    assert not watchers(clone)


def test_nothing_to_train_starts_no_watcher(clone):
    log = clone.folder / "logs/watch.log"
    log.unlink()
    clone.planned("--forceall")
    assert clone.snakemake("--forcerun", "claims", "--until", "claims").returncode == 0
    assert not log.exists()


def test_a_watcher_ends_when_its_snakemake_is_killed(tmp_path):
    clone = Clone(tmp_path)
    clone.settings["defaults"]["epochs"] = 100_000
    process = subprocess.Popen(
        clone.command("--until", "train"), cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: bool(watchers(clone)), "a watcher", 120)
        process.kill()
        process.wait()
        wait_until(lambda: not watchers(clone), "its end", 120)
    finally:
        for job in processes(clone):
            os.kill(job, signal.SIGKILL)


def processes(clone: Clone, command: str = "") -> list[int]:
    """The processes in the folder of a clone, whose command line holds these words."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (place / "cmdline").read_text().replace("\0", " ")
            if command in words and (place / "cwd").readlink() == clone.folder:
                found.append(int(place.name))
    return found


def watchers(clone: Clone) -> list[int]:
    return processes(clone, "bnstudy.commands watch")


def test_without_mlflow_the_study_is_done_and_says_what_is_missing(clone, monkeypatch):
    """A server that is not there; the next plain command tracks, and the one after does nothing."""
    (clone.folder / "mlflow.db").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result = clone.snakemake("--forcerun", "track_runs")
    assert result.returncode == 0, result.stderr[-3000:]
    assert "is not (wholly) in MLflow" in result.stderr and "`make track`" in result.stderr
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert clone.planned() == {"track_runs": 1, "track_study": 1}
    result = clone.snakemake()
    assert result.returncode == 0 and "not (wholly)" not in result.stderr
    assert (clone.folder / "mlflow.db").exists() and clone.planned() == {}


def test_mlflow_can_be_left_out(clone, edit):
    clone.settings["mlflow"] = {"experiment": "tiny", "enabled": False}
    clone.settings["analysis"]["alpha"] = 0.02
    assert not TRACKING & clone.planned().keys()
    assert "track_runs" in clone.planned("track")


def test_a_second_run_does_nothing(clone):
    assert clone.planned() == {}
    assert "Nothing to be done" in clone.snakemake().stderr


def files_of(clone: Clone) -> dict[str, tuple[int, int]]:
    """Size and time of every file but Snakemake's own and what an import compiles."""
    found = [path for path in clone.folder.rglob("*") if path.is_file()]
    own = {".snakemake", "__pycache__", "tiny.yaml"}
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in found
        if not own.intersection(path.relative_to(clone.folder).parts)
    }


def test_a_dry_run_changes_no_file(clone, edit):
    before = files_of(clone)
    assert clone.planned("all", "extended", "--forceall") != {}
    clone.settings["seeds"]["study"]["count"] = 8
    assert clone.planned()["train"] > 0
    assert files_of(clone) == before


def test_a_changed_digit_of_a_table_stops_the_next_command(clone, edit):
    """Which names the table; once that is what it was, the next one completes the study."""
    edit.replace("results/tables/versions.csv", "1", "2")
    result = clone.snakemake()
    assert result.returncode == 1
    assert "versions.csv is damaged (it is not as it was written). Delete it" in result.stderr
    edit.undo()
    assert clone.snakemake().returncode == 0 and clone.planned() == {}


def test_results_of_the_first_edition_are_not_taken_for_new_ones(clone):
    (clone.folder / "results/training").mkdir()
    result = clone.snakemake("--dry-run")
    (clone.folder / "results/training").rmdir()
    assert result.returncode == 1
    assert "move results/ and mlflow.db away" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


# What `make` runs on the study that is there: the arguments, as they stand in the Makefile.
COMMANDS = re.findall(
    r"^\t@\$\(RUN\) ([a-z].*|--forcerun .*)$", (ROOT / "Makefile").read_text(), re.M
)


@pytest.mark.parametrize("arguments", [c for c in COMMANDS if "extended" not in c])
def test_what_make_asks_for_can_be_planned(clone, arguments):
    assert clone.planned(*arguments.split()).keys() <= {"figure", "track_runs", "track_study"}


def test_every_job_makes_something_that_is_asked_for(clone):
    """A failed job takes its files away, and Snakemake misses only those that are asked for."""
    result = clone.snakemake("all", "extended", "--dag", "dot")
    names = dict(re.findall(r'^\s*(\d+)\[label = "(.*?)",', result.stdout, re.MULTILINE))
    edges = re.findall(r"(\d+) -> (\d+)", result.stdout)
    asked = {job for job, target in edges if names[target] in ("all", "extended")}
    assert len(asked) > 100
    assert {names[job] for job in names.keys() - asked} == {"all", "extended"}


@pytest.mark.parametrize(
    ("rule", "file"),
    [
        ("dataset", "datasets/article-plain/seeds_0.npz"),
        ("train", f"runs/{CELL}/seeds_10/record.json"),
        ("diagnostic", f"diagnostics/{CELL}.parquet"),
        ("curves", "tables/curves_thinned.parquet"),
        ("runs", "tables/runs.csv"),
        ("depth", "runs/depth/gradients.csv"),
        ("own_table", "tables/gradients.csv"),
        ("significance", "tables/significance.csv"),
        ("track_runs", "tracking/runs.json"),
        ("track_study", "tracking/study.json"),
    ],
)
def test_whatever_a_failed_job_took_away_is_missed(clone, rule, file):
    """Though what was made from it once is there, and newer."""
    path = clone.folder / "results" / file
    away = path.rename(path.with_suffix(".away"))
    try:
        assert rule in clone.planned()
    finally:
        away.rename(path)


def test_a_damaged_receipt_is_none(clone):
    path = clone.folder / "results/tracking/runs.json"
    away = path.rename(path.with_suffix(".away"))
    path.write_bytes(away.read_bytes()[:20])
    try:
        assert "track_runs" in clone.planned()
    finally:
        away.rename(path)


def test_touching_sources_does_nothing(clone):
    for folder in ("src", "paper", "workflow/rules", "workflow/report"):
        for file in (clone.folder / folder).rglob("*.*"):
            file.touch()
    for file in ("Snakefile", "config.yaml", "environment.yml", "pyproject.toml"):
        (clone.folder / file).touch()
    assert clone.planned() == {}


def test_comments_and_docstrings_do_nothing(clone, edit):
    for file in sorted((clone.folder / "src").rglob("*.py")):
        path = file.relative_to(clone.folder).as_posix()
        edit.append(path, "\n# A comment.\n")
        if file.read_text().startswith('"""'):
            edit.replace(path, '"""', '"""In other words: ')
    assert clone.planned() == {}


@pytest.mark.parametrize(
    ("module", "trains"),
    [
        ("experiment/training", BLOCKS),
        ("experiment/block", BLOCKS),
        ("experiment/tasks/article", BLOCKS),
        ("experiment/optimizers/adam", BLOCKS),
        ("experiment/arms/none", 5),
        ("experiment/arms/none_standardized", 2),
        ("experiment/arms/layer_norm", 0),
        ("experiment/tasks/odd", 0),
        ("experiment/optimizers/sgd", 0),
        ("analysis/collect", 0),
        ("tracking/importer", 0),
    ],
)
def test_an_edit_trains_what_it_is_about(clone, edit, module, trains):
    """An arm's file: that arm alone; a member that the study does not use: nothing."""
    edit.append(f"src/bnstudy/{module}.py")
    planned = clone.planned()
    assert planned.get("train", 0) == trains
    assert planned.get("dataset", 0) == (3 if module == "experiment/tasks/article" else 0)
    if "optimizers/sgd" in module:
        assert planned == {}


@pytest.mark.parametrize("kind", members.KINDS)
def test_a_new_member_trains_nothing(clone, edit, kind):
    """Its file is a copy of another's."""
    name = members.names(kind)[0]
    text = members.path(kind, name).read_text()
    folder = f"src/bnstudy/{members.KINDS[kind]}"
    edit.write(f"{folder}/newly_made.py", text.replace('CLAIM = "C1"', 'CLAIM = "C6"'))
    assert not {"train", "dataset", "depth", "digits", "curves"} & clone.planned().keys()


def test_a_colour_redraws_the_figures_and_trains_nothing(clone, edit):
    declared = members.declared("arms", "none")
    edit.replace("src/bnstudy/experiment/arms/none.py", declared["COLOUR"], "#123456")
    planned = clone.planned()
    assert planned["figure"] == len(FIGURES)
    assert set(planned) <= {"figure", "explorer", "track_runs", *SHOWING_FIGURES}


def test_a_diagnostic_trains_nothing(clone, edit):
    edit.append("src/bnstudy/analysis/diagnostics/features.py")
    planned = clone.planned()
    assert planned["diagnostic"] == CELLS and planned["diagnostics"] == 1
    assert not {"train", "dataset", "curves"} & planned.keys()


def test_a_diagnostics_setting_trains_nothing(clone, edit):
    clone.settings["diagnostics"] = {"features": {"saturation": 0.9}}
    planned = clone.planned()
    assert planned["diagnostic"] == CELLS and not {"train", "dataset", "curves"} & planned.keys()


def test_an_experiment_of_its_own_kind_is_redone_alone(clone, edit):
    clone.settings["experiments"]["depth"]["depth"] = 5
    planned = clone.planned()
    assert planned["depth"] == 1 and not {"train", "digits", "runs", "curves"} & planned.keys()


def test_a_new_width_trains_only_its_cells(clone, edit):
    clone.settings["experiments"]["grid"]["width"].append(12)
    planned = clone.planned()
    assert planned["train"] == 2 * 2 and "dataset" not in planned


def test_a_new_experiment_trains_only_what_no_other_names(clone, edit):
    new = {"arm": "none", "width": [5, 6], "inputs": ["plain", "shifted"]}
    clone.settings["experiments"]["new"] = new
    assert clone.planned().keys() <= {"paper", *TRACKING}, "it is not among the default ones"
    clone.settings["default_experiments"] = ["original", "grid", "new"]
    planned = clone.planned()
    assert planned["train"] == 3 * 2 and planned["dataset"] == 2


def test_a_new_block_of_seeds_trains_only_it(clone, edit):
    """Seeds 10-16 lie in the blocks 10 and 15; up to 24 the block 15 grows and 20 is new."""
    clone.settings["seeds"]["study"]["count"] = 15
    planned = clone.planned()
    assert planned["train"] == 3 * 2 * 2 and planned["dataset"] == 1


def test_editing_a_figure_redraws_it_alone(clone, edit):
    edit.append("src/bnstudy/report/figures/epochs_ratio.py")
    planned = clone.planned()
    assert planned["figure"] == 1 and set(planned) <= {"figure", *SHOWING_FIGURES}


def test_editing_the_style_redraws_the_figures_alone(clone, edit):
    edit.append("src/bnstudy/report/style.py")
    planned = clone.planned()
    assert planned["figure"] == len(FIGURES)
    assert set(planned) <= {"figure", "explorer", "track_runs", *SHOWING_FIGURES}


def test_editing_the_paper_sets_it_alone(clone, edit):
    edit.append("paper/discussion.typ", "\n// edited\n")
    assert set(clone.planned()) <= {"paper", "track_study"}


def test_changing_the_analysis_trains_nothing(clone, edit):
    clone.settings["analysis"]["alpha"] = 0.01
    planned = clone.planned()
    assert "significance" in planned and "train" not in planned and "curves" not in planned


def test_changing_bns_settings_leaves_the_other_arms_alone(clone, edit):
    clone.settings["batch_norm"] = {"momentum": 0.8}
    using = [
        block
        for block in plan_of(clone).blocks("")
        if "batch_norm" in members.declared("arms", block.cell.arm).get("USES", ())
    ]
    assert clone.planned()["train"] == len(using) == BLOCKS - 5


def test_settings_can_be_given_on_the_command_line(clone):
    result = clone.snakemake(
        "--dry-run", "--config", "experiments={grid: {width: [5, 12]}}", "seeds={study: {count: 5}}"
    )
    assert result.returncode == 0, result.stderr
    assert re.search(r"^train +2$", result.stdout + result.stderr, re.MULTILINE)


ROW_GROUPS = {"curves.parquet", "curves_thinned.parquet", "diagnostics.parquet"}  # are the blocks


@pytest.mark.parametrize(
    "wanted",
    [
        ("tables/runs.csv", "tables/curves.parquet", "figures/loss_curves.svg"),
        pytest.param(("tables/*.*", "figures/*.*"), marks=pytest.mark.slow),
    ],
    ids=["runs", "whole"],
)
def test_a_rebuild_is_identical_whatever_the_block_size(clone, tmp_path, wanted):
    """Another folder, other blocks, one core: the same bytes, measured seconds apart."""
    again = Clone(tmp_path)
    again.settings["training"]["block_size"] = 10
    found = [path for pattern in wanted for path in clone.folder.glob(f"results/{pattern}")]
    files = [path.relative_to(clone.folder) for path in found if not path.name.startswith(".")]
    result = again.snakemake("--cores", "1", *map(str, files))
    assert result.returncode == 0, result.stderr[-3000:]
    ours, theirs = again.results(), clone.results()
    assert {path.name for path in files} <= ours.keys() <= theirs.keys()
    for table in ROW_GROUPS & ours.keys():
        tables = (read(one, table) for one in (clone, again))
        pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert {name for name in ours if ours[name] != theirs[name]} <= ROW_GROUPS


def test_a_reanalysis_of_what_was_published_finds_the_same(clone):
    publish(clone.folder / "results", clone.folder / "published", [""])
    wanted = ["results/tables/sensitivity.csv", "results/claims.md", "results/figures/features.svg"]
    place = ["--snakefile", "reanalysis.smk", "--directory", "again"]
    result = clone.snakemake(*place, *wanted)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "No verdict differs from the published ones." in result.stderr
    for file in [*wanted, "results/tables/significance.csv"]:
        assert (clone.folder / "again" / file).read_bytes() == (clone.folder / file).read_bytes()


def members_of(rule: str, wildcards: dict[str, str], plan: Plan) -> set[tuple[str, str]]:
    """The members that a job uses, as its rule names them."""
    scope = wildcards.get("scope", "")
    arms = {("arms", block.cell.arm) for block in plan.blocks(scope)}
    tasks = {("tasks", block.cell.task) for block in plan.blocks(scope)}
    match rule:
        case "dataset":
            return {("tasks", wildcards["data"].rpartition("-")[0])}
        case "choose":
            return {("tasks", "article")}
        case "train":
            cell = plan.block(wildcards["cell"], wildcards["start"]).cell
            return {("arms", cell.arm), ("tasks", cell.task), ("optimizers", cell.optimizer)}
        case "depth":
            return {("tasks", "article")}
        case "depth_training":
            return {("tasks", "article"), ("optimizers", "adam")}
        case "curvature":
            return {("arms", plan.cell(wildcards["cell"]).arm)}
        case "diagnostic":
            cell = plan.cell(wildcards["cell"])
            every = {("diagnostics", name) for name in members.names("diagnostics")}
            return every | {("arms", cell.arm), ("tasks", cell.task)}
        case "runs" | "effects":
            return tasks
        case "figure":
            return {("figures", wildcards["figure"])}
        case "significance" | "claims":
            return {("claims", name) for name in members.names("claims")}
        case "track_runs" | "track_study":
            return arms
    return set()


# Members in a digest though the job does not load them. The task made the data that a run is
# trained on, and the key of a run stands for all of its code; a diagnostic may ask for a task's
# Jacobian, and its rule does not know whether it does; effects asks for the properties of tasks
# that are tuned; tracking builds the networks that it stores, and draws, none where the watcher
# stored them already.
STORING = ("experiment/arms/", "experiment/layers", "tracking/artifacts")
STANDS_FOR = {
    "effects": "experiment/tasks/",
    "train": ("experiment/tasks/", "cuda_kernels"),  # the latter is for devices that are GPUs
    "depth_training": "cuda_kernels",
    "diagnostic": "experiment/tasks/",
    "track_runs": STORING,
    "track_study": STORING,
}
# Nor does a tuned job whose runs were trained before under another name load what trained them.
TRAINED_BEFORE = ("experiment/arms/", "experiment/optimizers/")
# Members of which a job reads what they declare, and does not run them: parameters of these rules
# hold that, as looks, columns, or values of settings.
MEMBERS = tuple(f"{folder}/" for folder in members.KINDS.values())
DECLARED = {
    "figure": "experiment/arms/",
    "explorer": "experiment/arms/",
    "paper": ("experiment/arms/", "analysis/diagnostics/"),
    "track_runs": MEMBERS,
    "track_study": MEMBERS,
}


def test_the_digest_of_a_jobs_code_is_of_what_the_job_uses(clone, monkeypatch):
    """Of every job of every rule: none that it loads or reads is missing, none is there in vain."""
    assert digested(clone, monkeypatch) == set(clone.planned("all", "--forceall"))


def digested(clone: Clone, monkeypatch) -> set[str]:
    """The rules whose jobs were recorded, each with a digest of just what it uses."""
    package, scripts = clone.folder / "src/bnstudy", clone.folder / "workflow/scripts"
    for module in (members, code):
        monkeypatch.setattr(module, "PACKAGE", package)
    plan, rules, different = plan_of(clone), set(), set()
    for file in sorted((clone.folder / "loaded").iterdir()):
        job = json.loads(file.read_text())
        rule, wildcards = job["rule"], job["wildcards"]
        script = scripts / f"{rule.removesuffix('_runs').removesuffix('_study')}.py"
        named = members_of(rule, wildcards, plan)
        looks = rule == "figure" or rule.startswith("track")
        assert job["code"] == code.digest(script, named, looks), f"{rule} names other members"
        modules = code.closure(script, *(members.path(*member) for member in named))
        digested = {path.relative_to(package).as_posix() for path in modules}
        loaded, read = (
            {
                Path(path).resolve().relative_to(package.resolve()).as_posix()
                for path in job[how]
                if Path(path).is_file()  # git looks for a repository in every folder
            }
            for how in ("loaded", "read")
        )
        read -= {path for path in read if path.startswith(DECLARED.get(rule, "-"))}
        missing, vain = (loaded | read) - digested, digested - loaded - read
        vain -= {path for path in vain if path.startswith(STANDS_FOR.get(rule, "-"))}
        if rule == "train" and "-tuned-" in wildcards["cell"]:
            vain -= {path for path in vain if path.startswith(TRAINED_BEFORE)}
        different |= {f"{rule}: {path} is missing" for path in missing}
        different |= {f"{rule}: {path} is there in vain" for path in vain}
        rules.add(rule)
    assert not different
    return rules


@pytest.mark.slow
def test_the_extended_study_continues_the_default_one(clone, monkeypatch):
    assert clone.planned("extended")["train"] == EXTENDED_BLOCKS
    result = clone.snakemake("extended", env=recording(clone))
    assert result.returncode == 0, result.stderr[-3000:]
    short, every = read(clone, "curves.parquet"), read(clone, "curves.parquet", "extended/")
    long = every[every.cell == "batch-w5-e60"]
    assert long.groupby("seed").size().eq(60).all() and long.seed.nunique() == 7
    columns = ["seed", "epoch", "train_loss", "test_loss"]
    pd.testing.assert_frame_equal(
        long.loc[long.epoch < 30, columns].reset_index(drop=True),
        short.loc[short.cell == "batch-w5-e30", columns].reset_index(drop=True),
        check_exact=True,
    )
    minibatches = every[every.batch_size == "10"]
    assert (minibatches.steps == 4 * (minibatches.epoch + 1)).all()
    assert minibatches.train_loss_eval.notna().all()
    runs, default = read(clone, "runs.csv", "extended/"), read(clone, "runs.csv")
    shared = runs[runs.run_key.isin(default.run_key)].reset_index(drop=True)
    rates, tuned = 2 * (2 * 2 * 5), 2 * (2 * 2 * 7 + 2 * 7)  # with the runners-up
    others = 5 * 2 * 7 + 7 + rates + tuned
    assert len(shared) == len(default) and len(runs) == len(default) + others
    tuning = read(clone, "tuning.csv", "extended/")
    chosen = tuning.set_index(["arm", "tuned_for", "batch_size", "rank"]).learning_rate
    for row in runs[runs.tuned_for != "nothing"].itertuples():
        cell = row.arm, row.tuned_for, row.batch_size, row.tuned_rank
        assert row.learning_rate == chosen[cell]
    assert "is at the edge of the rates tried" in result.stderr
    pd.testing.assert_frame_equal(shared, default, check_exact=True)
    experiments = read(clone, "experiments.csv", "extended/")
    assert set(experiments.experiment) == set(plan_of(clone).study.experiments.training)
    effects = read(clone, "effects.csv", "extended/")
    assert {"batch", "dropout"} <= set(effects.arm) and effects.ratio.notna().any()
    assert clone.planned("extended") == clone.planned() == {}
    assert digested(clone, monkeypatch) == set(clone.planned("all", "extended", "--forceall"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"experiments": {"grid": {"widht": [5]}}}, "experiments.grid.widht: unknown key; did you"),
        ({"grid": {"widths": [5]}}, "grid: a key of the first edition; its settings are now in"),
        ({"default_experiments": []}, "default_experiments is []"),
        ({"defaults": {"learning_rate": "1e-3"}}, "write 0.001"),
        ({"dataset": {"test_size": 0}}, "dataset.test_size is 0"),
    ],
)
def test_a_bad_config_is_refused_before_any_job(clone, tmp_path, settings, says):
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "bad.yaml"]
    result = subprocess.run(
        [*command, "--snakefile", str(clone.folder / "Snakefile")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0 and says in result.stderr
    assert "Traceback" not in result.stderr and not (tmp_path / "results").exists()
