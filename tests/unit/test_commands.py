"""The command line: every command explains itself, and light ones stay light."""

import subprocess
import sys
from pathlib import Path

import pytest

from bnstudy import commands
from bnstudy.commands.__main__ import main

NAMES = sorted(path.stem for path in Path(commands.__file__).parent.glob("[a-z]*.py"))


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    assert {"progress", "publish", "run", "ui", "verify", "watch"} < set(NAMES)
    assert all(f"  {name} " in said for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert f"usage: bnstudy {name}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["prgress"], ["progress", "--fast"]])
def test_what_is_no_command_is_refused(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: bnstudy" in capsys.readouterr().err


def test_where_no_study_was_started_progress_says_so(tmp_path, capsys):
    assert main(["progress", str(tmp_path)]) == 1
    assert "no study was started here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("progress", ["nowhere"]), ("run", ["--configfile", "nowhere.yaml"]), ("schema", [])],
)
def test_a_light_command_imports_neither_mlflow_nor_torch(name, arguments):
    program = (
        "import sys; from bnstudy.commands.__main__ import main; main(sys.argv[1:]);"
        "sys.exit(bool({'mlflow', 'torch', 'matplotlib'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, name, *arguments]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
