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
    return [Requirement(name) for name in names + project["dependency-groups"]["build"]]


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


def test_the_lock_is_for_every_platform():
    """One version of each package; what not every platform has is marked."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = [Requirement(line.rstrip(" \\")) for line in lines if re.match(r"\w", line)]
    assert len({pin.name for pin in pinned}) == len(pinned) > 100
    here = {pin.name for pin in pinned if pin.marker is None}
    assert {"pandas", "mlflow", "snakemake"} <= here and not {"numba-cuda", "pywin32"} & here


def test_pytorch_and_what_its_builds_for_gpus_bring_are_not_locked():
    """They would bring several GB; where PyTorch's pin is says why it stands alone."""
    names = pins((ROOT / "requirements.lock").read_text().splitlines())
    assert not [name for name in names if re.match("torch|triton|nvidia|cuda-toolkit", name)]
