"""pyproject.toml, the locks and environment.yml say the same."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def text() -> str:
    files = ("requirements.lock", "requirements-torch.lock")
    return "".join((ROOT / file).read_text() for file in files)


def pins(lines) -> dict[str, str]:
    pinned = (re.match(r"([\w.-]+)==(\S+)", line) for line in lines)
    return {canonicalize_name(m[1]): m[2] for m in pinned if m}


def locked() -> dict[str, str]:
    return pins(text().splitlines())


def required() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["test"]
    return [Requirement(name) for name in names + project["build-system"]["requires"]]


def test_every_requirement_is_pinned_within_its_range():
    versions = locked()
    for requirement in required():
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)])


def test_the_conda_environment_has_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = pins(environment["dependencies"][-1]["pip"])
    assert {canonicalize_name(r.name) for r in required()} <= set(conda)
    assert conda.items() <= locked().items()


def test_the_lock_names_no_path_and_no_host():
    assert not re.search(r"://| @ |^-", text(), re.MULTILINE)
