"""`bnstudy run`: a calm terminal around Snakemake, for which a script stands in here."""

import os
import pty
import re
import signal
import subprocess
import sys
from argparse import Namespace
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from bnstudy.commands.run import LOGGER, OTHER, Jobs, results
from bnstudy.files import write_csv, write_json
from tests.services import wait_until
from tests.small_study import ROOT

# Stands in for Snakemake: says what its logger plugin would, and does what PLAY says.
STAND_IN = """
import json, os, sys, time
from pathlib import Path

def event(name, **fields):
    with open(sys.argv[-1], "a") as file:
        print(json.dumps({"event": name, **fields}), file=file)

def start():
    blocks = [
        {"place": f"batch-w{width}/seeds_0", "models": 5, "cost": cost, "due": True}
        for width, cost in ((8, 30.0), (9, 10.0))
    ]
    plan = {"started": time.time() - 60, "scope": "", "study": {}, "blocks": blocks}
    Path("logs").mkdir(exist_ok=True)
    Path("logs/plan.json").write_text(json.dumps(plan))
    event("run_info", stats={"train": 2, "figure": 2, "total": 4})
    event("job_started", jobs=[1, 2])
    of_train, of_figure = {"cell": "batch-w8", "start": "0"}, {"scope": "", "figure": "arms"}
    event("job_info", jobid=1, rule_name="train", wildcards=of_train, log=[])
    event("job_info", jobid=2, rule_name="figure", wildcards=of_figure, log=[])

def finish(jobid):
    event("job_finished", job_id=jobid)

def trained(width):
    record = Path(f"results/runs/batch-w{width}/seeds_0/record.json")
    record.parent.mkdir(parents=True)
    record.write_text("{}")

exec(os.environ["PLAY"])
"""
# As the command itself, but quick.
PROGRAM = """
import sys
from bnstudy.commands import __main__, run
run.EVERY = 0.05
sys.exit(__main__.main(["run", *sys.argv[1:]]))
"""
WHOLE = """
start(); time.sleep(0.3)
trained(8); finish(1); finish(2); time.sleep(0.3)
event(None, level="WARNING", message="Tuning: a rate at the edge")
"""


def started(folder: Path, play: str, *arguments: str, **options) -> subprocess.Popen:
    """`bnstudy run` in `folder`, where `play` is what Snakemake does."""
    places = folder / "stand_in"
    places.mkdir(exist_ok=True)
    (places / "snakemake.py").write_text(STAND_IN)
    path = os.pathsep.join(map(str, (places, ROOT / "src")))
    environment = {**os.environ, "PYTHONPATH": path, "PLAY": play}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **options)


def ran(folder: Path, play: str, *arguments: str) -> tuple[int, str]:
    """Its exit status, and what it says where there is no terminal."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = started(folder, play, *arguments, **pipes)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def on_a_terminal(folder: Path, play: str) -> tuple[subprocess.Popen, int]:
    """The command as the foreground of a terminal of 80 columns, and the terminal's other end."""
    ours, theirs = pty.openpty()
    process = started(folder, play, preexec_fn=lambda: os.login_tty(theirs))
    os.close(theirs)
    return process, ours


def read_all(terminal: int) -> str:
    """All that the terminal gets to see until its last process ends."""
    seen = b""
    with suppress(OSError):  # as Linux says that nobody writes any more
        while part := os.read(terminal, 4096):
            seen += part
    return seen.decode()


def lines_left(seen: str) -> int:
    """How many lines further down the cursor is at the end than at the start."""
    up = sum(int(count or 1) for count in re.findall(r"\x1b\[(\d*)A", seen))
    return seen.count("\n") - up


@pytest.fixture
def decided(tmp_path) -> Path:
    """A folder with the claims of a finished study, and its paper."""
    rows = [("C1", "grid", "holds"), ("C1", "tuned", "open"), ("C1", "tasks", "holds")]
    rows += [(f"C{number}", "grid", "fails") for number in range(2, 6)]
    table = pd.DataFrame(rows, columns=["claim", "regime", "verdict"])
    write_csv(tmp_path / "results/tables/claims.csv", table)
    write_json(tmp_path / "results/tracking/study.json", {})
    (tmp_path / "results/paper.pdf").touch()
    return tmp_path


def test_off_a_terminal_it_says_a_line_per_tenth_and_the_verdicts(decided):
    """Of 40 core-seconds of training and 2 × 5 of figures 0 are done at first, then 30 + 5."""
    assert OTHER == 5
    status, said = ran(decided, WHOLE)
    assert status == 0
    *progress, last = said.partition("2 of 4 jobs are done\n")
    assert last.splitlines() == [
        "Tuning: a rate at the edge",
        "C1        holds: grid, tasks; open: tuned",
        *(f"C{number}        fails: grid" for number in range(2, 6)),
        "paper     results/paper.pdf",
        "MLflow    bnstudy ui .",
        "next      bnstudy run --cores 4 extended: all experiments",
    ]
    first, *_, end = progress[0].splitlines()
    running = "now: train batch-w8 0, figure arms"
    assert first == f"0% done, 1 min so far, time left not known yet; {running}"
    assert end.startswith("70% done, 1 min so far, less than a minute left; now:")
    assert progress[0].count("\n") <= 3


def test_a_terminal_shows_a_bar_and_keeps_ten_lines(decided):
    process, terminal = on_a_terminal(decided, WHOLE)
    seen = read_all(terminal)
    assert process.wait() == 0
    assert "looking what there is to do" in seen and "━" in seen
    assert "70%" in seen and "less than a minute left" in seen and "now: train batch-w8 0" in seen
    assert "Tuning: a rate at the edge" in seen and "paper     results/paper.pdf" in seen
    assert lines_left(seen) == 10


def test_the_explorer_is_named_where_it_is(decided):
    (decided / "results/explorer.html").touch()
    said = list(results(Namespace(directory=decided, given=[], configfile=[])))
    assert f"explorer  {decided}/results/explorer.html" in said


def test_a_reanalysis_shows_the_widest_scope_and_asks_for_no_more(decided):
    (decided / "results").rename(decided / "extended")
    (decided / "results").mkdir()
    (decided / "extended").rename(decided / "results/extended")
    given = ["--snakefile", "reanalysis.smk"]
    said = list(results(Namespace(directory=decided, given=given, configfile=[])))
    assert said[0].startswith("C1 ") and not any(line.startswith("next") for line in said)


def test_the_extended_study_has_its_own_results(decided):
    (decided / "results").rename(decided / "extended")
    (decided / "results").mkdir()
    (decided / "extended").rename(decided / "results/extended")
    arguments = Namespace(directory=decided, given=["--cores", "2", "extended"], configfile=[])
    said = list(results(arguments))
    assert f"paper     {decided}/results/extended/paper.pdf" in said
    assert said[-1].startswith("next      bnstudy verify")


def test_a_failed_job_is_named_with_its_log_and_the_status_is_snakemake_s(decided):
    play = "start(); event('job_error', jobid=2, log=['logs/arms.log']); sys.exit(3)"
    status, said = ran(decided, play)
    assert status == 3
    assert said.splitlines()[-2:] == [
        "failed: figure arms, see logs/arms.log",
        "0 of 4 jobs are done; what Snakemake said is in .snakemake/log",
    ]
    assert "C1" not in said


@pytest.mark.parametrize("status", [0, 2])
def test_where_no_job_runs_snakemake_s_own_words_are_all(decided, status):
    assert ran(decided, f"print('Job stats'); sys.exit({status})") == (status, "Job stats\n")


def test_where_nothing_is_to_be_done_the_verdicts_come_again(decided):
    status, said = ran(decided, "print('Nothing to be done (all is there).')")
    assert status == 0
    assert said.startswith("Nothing to be done\nC1 ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_snakemake_and_its_status_is_passed_on(decided, number):
    """At SIGINT, as from a terminal, also what Snakemake started."""
    play = f"""
import signal, subprocess
child = subprocess.Popen(["sleep", "60"])
def stop(*_):
    if {number == signal.SIGTERM}:
        child.kill()
    child.wait()
    sys.exit(7)
signal.signal({int(number)}, stop)
start(); Path("ready").touch(); time.sleep(60)
"""
    process = started(decided, play, stdout=subprocess.PIPE)
    wait_until((decided / "ready").exists, "the stand-in", 30)
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 7
    assert said.splitlines()[-1].startswith("stopped: 0 of 4 jobs are done")


def test_control_c_on_a_terminal_stops_it(decided):
    process, terminal = on_a_terminal(decided, "start(); Path('ready').touch(); time.sleep(60)")
    wait_until((decided / "ready").exists, "the stand-in", 30)
    os.write(terminal, b"\x03")
    assert "stopped: 0 of 4 jobs are done" in read_all(terminal)
    assert process.wait() == 128 + signal.SIGINT


def test_a_death_of_snakemake_is_no_success(decided):
    status, _ = ran(decided, "start(); os.kill(os.getpid(), 9)")
    assert status == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("contents", "says"), [(None, "No such file"), (b"a: \xff", "not UTF-8"), (b"a: [", "not YAML")]
)
def test_a_file_of_settings_that_cannot_be_read_is_refused_in_a_line(tmp_path, contents, says):
    if contents is not None:
        (tmp_path / "other.yaml").write_bytes(contents)
    status, said = ran(tmp_path, "print('started')", "--cores", "1", "--configfile", "other.yaml")
    assert status == 1
    assert says in said and "other.yaml" in said and said.count("\n") == 1


def test_all_arguments_are_snakemake_s(tmp_path):
    (tmp_path / "a.yaml").write_text("preview: true")
    given = ["extended", "--config", "x=1", "--configfile", "a.yaml", "-d", "there", "-n", "-c2"]
    play = f"print(sys.argv[1:-{len(LOGGER) + 1}] == {given!r}, sys.argv[-4:-1] == {LOGGER!r})"
    assert ran(tmp_path, play, *given) == (0, "True True\n")


def test_snakemake_s_logger_plugin_says_what_happens_to_the_jobs(tmp_path):
    """Snakemake itself, on a workflow whose second job fails."""
    (tmp_path / "Snakefile").write_text("""
rule last:
    input: "a.txt"
    output: "b.txt"
    log: "b.log"
    shell: "exit 1"
rule first:
    output: "{name}.txt"
    shell: "touch {output}"
onerror: logger.warning("take care")
""")
    (tmp_path / "events").touch()
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *LOGGER, "events"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    said = {"capture_output": True, "check": False}
    result = subprocess.run(command, cwd=tmp_path, env=environment, **said)
    assert result.returncode == 1, result.stderr
    jobs = Jobs(tmp_path / "events")
    jobs.read()
    assert jobs.began and jobs.planned == {"first": 1, "last": 1, "total": 2}
    assert (jobs.done, jobs.running) == ({"first": 1}, {})
    assert (jobs.failed, jobs.warnings) == ({"last": "b.log"}, ["take care"])
