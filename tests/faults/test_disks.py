"""Full, read-only and failing disks: noticed, named, and made good by the documented command."""

import os
import subprocess
import sys

import pytest

from bnstudy.files import read_csv
from tests.faults.victim import TARGETS, Victim

pytestmark = pytest.mark.extended  # whole studies; tests/unit/test_files.py reads damaged files
DIRECTORY = "results/runs/batch-w5-e500/seeds_10"
DATASET = "results/datasets/article-plain/seeds_10.npz"


def halve(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    place = len(content) // 3
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("file", "damage", "redone"),
    [
        (f"{DIRECTORY}/curves.parquet", flip, {"train": 1}),
        (f"{DIRECTORY}/curves.parquet", halve, {"train": 1}),
        (f"{DIRECTORY}/snapshots.safetensors", flip, {"train": 1}),
        (f"{DIRECTORY}/checkpoint.safetensors", flip, {"train": 1}),
        (f"{DIRECTORY}/record.json", halve, {"train": 1}),
        (DATASET, flip, {"dataset": 1, "train": 4}),  # two arms, as they are and tuned
        ("results/tables/runs.csv", halve, {"runs": 1}),
        ("results/tables/curves_thinned.parquet", flip, {"curves": 1}),
        ("results/tables/diagnostics.parquet", flip, {"diagnostics": 1}),
    ],
)
def test_a_damaged_file_is_named_and_only_it_is_made_anew(
    tmp_path, finished, undisturbed, faults, file, damage, redone
):
    study = finished.copy(tmp_path / "study")
    faults.append(f"{file} damaged")
    path = study.folder / file
    path.write_bytes(damage(path.read_bytes()))
    result = study.snakemake(*TARGETS)
    assert result.returncode != 0
    assert f"{file} is damaged" in result.stderr and "Delete it and run snakemake" in result.stderr
    assert study.snakemake(*TARGETS).returncode != 0, "not before all is well"
    path.unlink()
    planned = study.planned(*TARGETS)
    assert {rule: n for rule, n in planned.items() if rule in ("dataset", "train")} == {
        rule: n for rule, n in redone.items() if rule in ("dataset", "train")
    }
    study.check(undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a disk of this size at `tmp_path`/disk, or changes it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], check=False
        ).returncode
    ):
        pytest.skip("mounting a small disk needs root")

    def remount(option: str):
        subprocess.run(["mount", "-o", f"remount,{option}", disk], check=True)

    yield disk, remount
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_loses_nothing(tmp_path, small_disk, undisturbed, faults):
    """The disk that holds all of the study grows a little each time: full while it trains, then
    while it collects, draws and tracks."""
    disk, remount = small_disk
    study = Victim(tmp_path)
    arguments = ["--directory", str(disk), *TARGETS]
    for size in (100, 250, 350, 450, 700, 1200, 3000, 5000):
        remount(f"size={size}k")
        result = study.snakemake(*arguments)
        if result.returncode == 0:
            break
        faults.append(f"disk full at {size} kB")
        said = "No space left" in result.stderr or "disk is full" in result.stderr
        assert said, result.stderr[-3000:]
    assert len(faults) >= 4
    remount("size=200m")
    study.snakemake("--directory", str(disk), "--unlock")
    result = study.snakemake(*arguments)
    assert result.returncode == 0, result.stderr[-3000:]
    study.folder = disk
    assert study.results() == undisturbed
    assert read_csv(disk / "results/tables/runs.csv").run_key.is_unique


def test_a_read_only_disk_is_named(tmp_path, small_disk, faults):
    disk, remount = small_disk
    study = Victim(tmp_path)
    remount("size=200m")
    assert study.snakemake("--directory", str(disk), DATASET).returncode == 0
    remount("ro")
    faults.append("read-only disk")
    result = study.snakemake("--directory", str(disk), *TARGETS)
    assert result.returncode != 0 and "Read-only file system" in result.stderr
    remount("rw")
    result = study.snakemake("--directory", str(disk), *TARGETS)
    assert result.returncode == 0, result.stderr[-3000:]


def test_another_users_study_can_be_read_and_is_left_alone(tmp_path, finished, faults):
    """Root without the right to pass over permissions is as any other user."""
    if os.geteuid():
        pytest.skip("giving files to another user needs root")
    study = finished.copy(tmp_path / "study").folder
    for path in (study, *study.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    study.chmod(0o755)  # pytest's folders are their owner's alone
    rights = "--bounding-set=-dac_override,-dac_read_search"
    faults.append("another user's study")

    def as_another(*command: str) -> subprocess.CompletedProcess:
        command = ("setpriv", rights, "--inh-caps=-all", sys.executable, "-m", *command)
        return subprocess.run(command, cwd=study, capture_output=True, text=True, check=False)

    refused = as_another("snakemake", *finished.command(*TARGETS)[3:])
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert f"The study in {study} is another user's" in refused.stderr
    whole = as_another("bnstudy.commands", "verify", "--integrity")
    assert whole.returncode == 0, "all of it can be read"
    (study / "logs").mkdir(exist_ok=True)
    served = as_another("bnstudy.commands", "ui")
    assert served.returncode == 1 and "Traceback" not in served.stderr
    assert "logs/ui.log: Permission denied. In another user's study you can" in served.stderr
