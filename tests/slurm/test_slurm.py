"""The unchanged study on a real Slurm of two nodes: `make test-slurm`.

Every command runs under `timeout`: where Slurm goes away for longer than the profile's patience,
Snakemake's executor forgets its jobs and waits for ever.
"""

import contextlib
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.clone import Clone
from tests.services import wait_until
from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.services

LIMIT = 600  # seconds a command
# Datasets, training, the two experiments of their own kind; four cells' diagnostics; their table,
# curves, what follows epoch by epoch, runs, significance, effects.
JOBS = 2 + 10 + 2 + 4 + 6
PAGE = Path(__file__).parents[2] / "docs/cluster.md"
# What the profile's patience would cost here: a first look after 40 s, later ones ever less often.
IMPATIENT = [
    "--slurm-init-seconds-before-status-checks=3",
    "--max-status-checks-per-second=0.5",
    "--slurm-status-command=squeue",
    "--slurm-jobname-prefix=bnstudy",
    "--jobs=8",
]
PROFILE = ["--workflow-profile", "profiles/slurm", "--configfile", "tiny.yaml"]


class ClusterClone(Clone):
    """A study whose `snakemake` submits to Slurm."""

    def command(self, *arguments: str) -> list[str]:
        super().command()  # writes the settings
        limited = ["timeout", "--foreground", "-s", "INT", "-k", "60", str(LIMIT)]
        return [*limited, sys.executable, "-m", "snakemake", *PROFILE, *IMPATIENT, *arguments]

    def start(self, *arguments: str) -> subprocess.Popen:
        """The same, not waited for; what it says goes to snakemake.log."""
        with (self.folder / "snakemake.log").open("a") as log:
            return subprocess.Popen(
                self.command(*arguments), cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )

    def said(self) -> str:
        return (self.folder / "snakemake.log").read_text()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


def small(clone: Clone) -> Clone:
    """`clone` with a study of ten training jobs, two of which wait for a choice among four."""
    clone.settings["experiments"]["grid"]["width"] = 8
    clone.settings["seeds"]["study"]["count"] = 4
    names = ["original", "grid", "rates", "tuned", "depth", "digits"]
    clone.settings["default_experiments"] = names
    clone.settings["analysis"]["objectives"] = ["final_test_loss"]
    return clone


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> dict[str, bytes]:
    """What the study gives without a cluster."""
    clone = small(Clone(tmp_path_factory.mktemp("local")))
    done = clone.snakemake()
    assert done.returncode == 0, done.stderr[-3000:]
    return clone.results()


@pytest.fixture
def study(tmp_path) -> ClusterClone:
    return small(ClusterClone(tmp_path))


@pytest.fixture
def started(cluster, study):
    """The study up to its curves, when a training job has just begun on the first node."""
    process = study.start("--until", "curves")
    try:
        wait_until(lambda: trains_on(cluster, "n1"), "a training job on n1", LIMIT)
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen) -> None:
    """SIGKILL to a command and all that it started here, if it still runs."""
    if process.poll() is None:
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.kill()
        process.wait(10)


def trains_on(cluster: Cluster, node: str) -> bool:
    return any("rule_train" in comment for comment in cluster.running_on(node))


def assert_same_curves(local: dict[str, bytes], study: ClusterClone) -> None:
    """The table up to which `started` goes is, byte for byte, the one made without a cluster."""
    table = study.folder / "results/tables/curves.parquet"
    assert table.read_bytes() == local["curves.parquet"]


def test_the_whole_study_is_the_same(cluster, study, local):
    done = study.snakemake()
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = study.results()
    assert theirs.keys() == local.keys()
    assert {name for name in local if theirs[name] != local[name]} == set()
    assert "localrule track_study:" in done.stderr and "rule_track" not in done.stderr, "one writer"
    assert len(re.findall("submitted with SLURM jobid", done.stderr)) == JOBS
    assert cluster.jobs() == []
    assert "Nothing to be done" in study.snakemake().stderr


def test_a_node_dies_under_its_jobs(cluster, study, started, local):
    cluster.kill_node("n1")
    assert started.wait(LIMIT + 60) == 0, study.said()[-3000:]
    assert "node failure" in study.said(), "the job on the dead node was noticed"
    assert_same_curves(local, study)
    cluster.start_node("n1")


def test_a_node_dies_under_a_job_that_waited_for_a_choice(cluster, study, local):
    process = study.start("--until", "curves")

    def nodes() -> list[str]:
        running = {node: cluster.running_on(node) for node in ("n1", "n2")}
        return [node for node, jobs in running.items() if any("tuned" in job for job in jobs)]

    try:
        wait_until(nodes, "a tuned training job", LIMIT)
        node = nodes()[0]
        cluster.kill_node(node)
        assert process.wait(LIMIT + 60) == 0, study.said()[-3000:]
        assert "node failure" in study.said(), "the job on the dead node was noticed"
        assert_same_curves(local, study)
        cluster.start_node(node)
    finally:
        kill(process)


def test_the_controller_is_away_for_a_while(cluster, study, started, local):
    """Without accounting the executor may wait for ever then. What docs/cluster.md says to do."""
    cluster.stop_controller()
    time.sleep(15)
    cluster.start_controller()
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.wait(90)
    if started.poll() is None:
        wait_until(lambda: not cluster.jobs(), "the end of Slurm's jobs", LIMIT)
        started.send_signal(signal.SIGINT)
        started.wait(60)
    done = study.snakemake("--until", "curves")
    assert done.returncode == 0, done.stderr[-3000:]
    assert_same_curves(local, study)


def test_snakemake_is_killed(cluster, study, started, local):
    """What docs/cluster.md says to do then, as it stands there."""
    kill(started)
    assert cluster.jobs(), "Slurm's jobs run on"
    (cancel,) = re.findall(r"^squeue .*scancel$", PAGE.read_text(), re.MULTILINE)
    subprocess.run(cancel, shell=True, check=True)
    wait_until(lambda: not cluster.jobs(), "the end of cancelled jobs", 60)
    assert study.snakemake("--unlock").returncode == 0
    done = study.snakemake("--until", "curves")
    assert done.returncode == 0, done.stderr[-3000:]
    assert_same_curves(local, study)
