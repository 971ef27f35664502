"""Members: a file in a folder is a member, and says what others must know of it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bnstudy.config import members
from bnstudy.config.models import Study

SOURCE = Path(members.__file__).parents[2]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package, to which files are added."""
    copy = shutil.copytree(
        members.PACKAGE, tmp_path / "bnstudy", ignore=shutil.ignore_patterns("__pycache__")
    )
    monkeypatch.setattr(members, "PACKAGE", copy)
    return copy


def in_package(package: Path, program: str) -> str:
    """What a program prints that imports the copy."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_file_is_a_member(package):
    """One of each kind, found in the folder, declared without an import, and imported."""
    new = {}
    for kind, folder in members.KINDS.items():
        before = members.names(kind)
        (package / folder / "a_new_one.py").write_text(f'"""A new one."""\nLABEL = "{kind}"\n')
        new[kind] = "a-new-one" if kind in members.HYPHENATED else "a_new_one"
        assert members.names(kind) == sorted([*before, new[kind]])
        assert members.declared(kind, new[kind]) == {"LABEL": kind}
    program = "from bnstudy.config.members import load\n"
    program += f"for kind, name in {new}.items(): print(load(kind, name).LABEL)"
    assert in_package(package, program).split() == list(members.KINDS)


@pytest.mark.parametrize("name", ["_shared.py", "__init__.py", "notes.txt", "sub"])
def test_other_files_are_no_members(package, name):
    before = members.names("arms")
    place = package / members.KINDS["arms"] / name
    place.mkdir() if name == "sub" else place.touch()
    assert members.names("arms") == before


def test_every_kind_has_members():
    assert all(members.names(kind) for kind in members.KINDS)
    assert {"none", "batch", "batch-matched"} <= set(members.names("arms"))
    assert {"adam", "sgd"} <= set(members.names("optimizers"))
    assert "loss_curves" in members.names("figures")


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in members.KINDS for name in members.names(kind)]
)
def test_what_a_member_declares_is_what_its_module_holds(kind, name):
    """Read as text, it is the same as imported."""
    declared, module = members.declared(kind, name), members.load(kind, name)
    assert module.__doc__ and Path(module.__file__) == members.path(kind, name)
    for key, value in declared.items():
        assert getattr(module, key) == value


def test_a_member_that_is_not_there_cannot_be_loaded():
    with pytest.raises(ModuleNotFoundError):
        members.load("arms", "no-such-arm")


def test_a_declaration_is_read_without_running_the_module(package):
    file = package / members.KINDS["arms"] / "costly.py"
    file.write_text("LABEL = 'costly'\nraise RuntimeError\n")
    assert members.declared("arms", "costly") == {"LABEL": "costly"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SETTINGS", "dict(rate=0.1)"),
        ("SETTINGS", "{'rate': {'default': DEFAULT}}"),
        ("USES", "('batch_norm',) + OTHERS"),
        ("LABEL", "f'rate {RATE}'"),
        ("COLOUR", "PALETTE[0]"),
        ("TABLES", "tuple(NAMES)"),
    ],
)
def test_what_must_be_a_literal_is_refused_with_its_place(package, name, text):
    file = package / members.KINDS["arms"] / "odd_one.py"
    file.write_text(f'"""Odd."""\n\n{name} = {text}\n')
    with pytest.raises(ValueError, match=f"odd_one.py, line 3: {name} must be written as a plain"):
        members.declared("arms", "odd-one")


def test_other_constants_may_be_computed(package):
    file = package / members.KINDS["tasks"] / "computed.py"
    file.write_text("import math\nVARIANCE = math.pi\nLIMIT = -1\n")
    assert members.declared("tasks", "computed") == {"LIMIT": -1}


def test_a_new_arms_settings_are_settings_of_the_study(package, config):
    file = package / members.KINDS["arms"] / "noisy_input.py"
    file.write_text(
        'SETTINGS = {"scale": {"default": 0.5, "gt": 0, "description": "of the noise"}}\n'
    )
    study = Study.from_config(config)
    assert study.arms["noisy-input"] == {"scale": 0.5}
    config["arms"]["noisy-input"] = {"scale": 2.0}
    config["experiments"]["new"] = {"arm": "noisy-input"}
    assert Study.from_config(config).arms["noisy-input"] == {"scale": 2.0}
    config["arms"]["noisy-input"] = {"scale": -1.0}
    with pytest.raises(ValueError, match=r"^arms.noisy-input.scale is -1.0: .*greater than 0"):
        Study.from_config(config)
