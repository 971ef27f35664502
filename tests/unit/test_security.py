"""Nothing is unpickled or evaluated, nothing listens to the network, nothing phones home."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("workflow/scripts/*.py"),
                  *ROOT.glob("benchmarks/**/*.py")])  # fmt: skip
RULES = [ROOT / "Snakefile", ROOT / "reanalysis.smk", *sorted(ROOT.glob("workflow/rules/*.smk"))]
UNPICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
LOADERS = {"torch.load", "torch.save", "pd.read_pickle", "yaml.load", "yaml.unsafe_load",
           "yaml.full_load", "os.system", "os.popen"}  # fmt: skip


def findings(tree: ast.AST) -> list[str]:
    """What must not be there: line and name."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found += [f"{node.lineno}: {n.name}" for n in names
                          if n.name.split(".")[0] in UNPICKLES]  # fmt: skip
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in UNPICKLES:
                found.append(f"{node.lineno}: {module}")
            case ast.Call(func=function, keywords=keywords):
                name = ast.unparse(function)
                if name in LOADERS or name in ("eval", "exec", "compile", "__import__"):
                    found.append(f"{node.lineno}: {name}")
                for keyword in keywords:
                    said = f"{keyword.arg}={ast.unparse(keyword.value)}"
                    if said in ("allow_pickle=True", "shell=True", "weights_only=False"):
                        found.append(f"{node.lineno}: {said}")
                if name == "np.load" and "allow_pickle=False" not in ast.unparse(node):
                    found.append(f"{node.lineno}: np.load without allow_pickle=False")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_is_unpickled_or_evaluated(path):
    assert findings(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_rules_run_scripts_only(path):
    text = path.read_text()
    assert not re.search(r"^\s+(run|shell|notebook|wrapper):", text, re.MULTILINE)
    assert not re.search(r"\b(eval|exec|pickle)\b", text)


def test_the_search_finds_what_it_is_for():
    bad = "import pickle\nnp.load(p)\nx = eval(t)\nsubprocess.run(c, shell=True)\nyaml.load(t, L)"
    assert len(findings(ast.parse(bad))) == 5


def test_servers_listen_on_loopback_only():
    """No command of ours opens a port to the network; MLflow's default is the loopback address."""
    for path in [ROOT / "Makefile", *SOURCES, *sorted(ROOT.glob("tests/**/*.py"))]:
        if path != Path(__file__):
            assert not re.search(
                r"0\.0\.0\.0|--host[= ](?!127\.0\.0\.1|localhost)", path.read_text()
            )


def test_telemetry_is_off_unless_someone_turns_it_on(monkeypatch):
    import os

    from bnstudy import tracking  # noqa: F401 - sets it when imported

    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    from mlflow.telemetry.utils import is_telemetry_disabled

    assert is_telemetry_disabled()


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="not in an environment of `make`")
@pytest.mark.parametrize(("said", "disabled"), [(None, True), ("false", False)])
def test_telemetry_is_off_for_a_plain_mlflow_ui(said, disabled):
    """In a shell with the environment active; outside pytest, where MLflow turns it off itself."""
    command = (
        f". {sys.prefix}/bin/activate && "
        "python -c 'import mlflow.telemetry.utils as u; print(u.is_telemetry_disabled())'"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    environment |= {"MLFLOW_DISABLE_TELEMETRY": said} if said else {}
    result = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.split()[-1] == str(disabled)


def test_every_dependency_is_pinned_exactly():
    """And by its hashes, but for PyTorch; some for certain platforms only."""
    text = re.sub("^#.*\n", "", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    pins = text.replace("\\\n", "").splitlines()
    pin = r"[\w.-]+==[\w.]+( ; [\w .'<!=()]+)?(\s+--hash=sha256:[0-9a-f]{64})+"
    assert len(pins) > 100 and all(re.fullmatch(pin, line) for line in pins)
    last = (ROOT / "requirements-torch.lock").read_text().splitlines()[-1]
    assert re.fullmatch(r"torch==[\d.]+", last)
