"""Members: what a user adds by writing one file.

The modules of a folder are its members; there is no list to keep beside them. What others must know
of a member (its label, its settings, the tables that a figure needs) is a literal at the top level
of its module, read here without importing it: planning and figures then need no PyTorch.
"""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = Path(__file__).parents[1]
# Kind of member, as config.yaml calls it: its folder.
KINDS = {
    "arms": "experiment/arms",
    "tasks": "experiment/tasks",
    "optimizers": "experiment/optimizers",
    "diagnostics": "analysis/diagnostics",
    "figures": "report/figures",
    "claims": "analysis/claims",
}
# Members whose names people write in config.yaml: words joined by hyphens.
HYPHENATED = ("arms", "tasks", "optimizers")
# How an arm looks in figures. Training does not depend on it.
LOOKS = ("LABEL", "COLOUR", "MARKER", "LINE")


def names(kind: str) -> list[str]:
    """The members of `kind`, sorted."""
    files = (PACKAGE / KINDS[kind]).glob("[a-z]*.py")
    return sorted(
        file.stem.replace("_", "-") if kind in HYPHENATED else file.stem for file in files
    )


def path(kind: str, name: str) -> Path:
    """The file of a member."""
    return PACKAGE / KINDS[kind] / f"{name.replace('-', '_')}.py"


def load(kind: str, name: str) -> ModuleType:
    """The module of a member, imported. ModuleNotFoundError where there is none."""
    folder = KINDS[kind].replace("/", ".")
    return import_module(f"bnstudy.{folder}.{name.replace('-', '_')}")


@cache
def declared(kind: str, name: str) -> dict[str, Any]:
    """The literals that a member's module assigns to upper-case names, without importing it.

    Raises ValueError, naming the file and line, where SETTINGS or a look is not a literal.
    """
    file = path(kind, name)
    found = {}
    for node in ast.parse(file.read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target.isupper():
                try:
                    found[target] = ast.literal_eval(value)
                except ValueError:
                    if target in (*LOOKS, "SETTINGS", "USES", "TABLES", "TITLE", "CAPTION"):
                        raise ValueError(
                            f"{file}, line {node.lineno}: {target} must be written as a plain value"
                        ) from None
    return found
