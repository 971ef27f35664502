"""What paper, CITATION.cff and datapackage.json take from pyproject.toml: version, address."""

import tomllib
from pathlib import Path


def publication(root: Path) -> dict[str, str]:
    """Description, version and public address (empty where [project.urls] has none) of the
    repository in `root`."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    address = project.get("urls", {}).get("Repository", "")
    return {name: project[name] for name in ("description", "version")} | {"repository": address}


def citation(root: Path) -> str:
    """The lines of CITATION.cff that are taken from there."""
    known = publication(root)
    lines = [f"version: {known['version']}"]
    return "\n".join(
        lines + [f"repository-code: {known['repository']}"] * bool(known["repository"])
    )
