"""The code of a job as one of its inputs: a digest of every module that it uses.

The modules are found in the source, from the job's script along its imports; members, which are
discovered when a job runs, are named by the rule. What does not change what a job computes is left
out of the digest: comments, formatting, docstrings, and for training the looks of the arms.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from bnstudy.config.members import KINDS, LOOKS, PACKAGE, path

NAME = PACKAGE.name


def closure(*files: Path) -> set[Path]:
    """The modules of this package that `files` import, at any depth, and those of `files` that are
    of this package themselves."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        if file.is_relative_to(PACKAGE):
            found.add(file)
        waiting += _imported(file)
    return found


def digest(script: Path, members: Iterable[tuple[str, str]] = (), looks: bool = False) -> str:
    """SHA-256 of the code that `script` runs, with these `members` (kind, name) in it.

    `looks`: whether labels and colours count.
    """
    modules = closure(script, *(path(kind, name) for kind, name in members))
    whole = hashlib.sha256()
    for file in sorted(modules):
        whole.update(f"{file.relative_to(PACKAGE)}\0{_meaning(file, looks)}\0".encode())
    return whole.hexdigest()


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements within `node`, at any depth; what they consist of would take most of the time
    and holds neither imports nor docstrings."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for statement in getattr(node, block, ()):
            yield statement
            yield from _statements(statement)


@cache
def _tree(file: Path) -> ast.Module:
    """The syntax of a module without its docstrings."""
    tree = ast.parse(file.read_text())
    for node in [tree, *_statements(tree)]:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


@cache
def _meaning(file: Path, looks: bool) -> str:
    """The source of a module without comments, docstrings and, unless wanted, looks."""
    body = _tree(file).body
    if not looks and file.parent == PACKAGE / KINDS["arms"]:
        body = [node for node in body if not _is_look(node)]
    return ast.unparse(ast.Module(body, []))


def _is_look(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and set(map(ast.unparse, node.targets)) <= set(LOOKS)


@cache
def _imported(file: Path) -> list[Path]:
    """The modules of this package that one file imports itself; the packages above them, and above
    the file, which Python runs first."""
    names = list(_names(_tree(file)))
    if file.is_relative_to(PACKAGE):
        names.append(".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts))
    files = []
    for name in names:
        parts = name.split(".")[1:]
        for depth in range(len(parts) + 1):
            place = PACKAGE.joinpath(*parts[:depth])
            files += [p for p in (place / "__init__.py", place.with_suffix(".py")) if p.is_file()]
    return files


def _names(tree: ast.Module) -> Iterator[str]:
    """The dotted names of this package that a module imports; of `from a import b` also a.b."""
    for node in _statements(tree):
        match node:
            case ast.Import(names=aliases):
                names = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(module), level=0, names=aliases):
                names = [module, *(f"{module}.{alias.name}" for alias in aliases)]
            case _:
                continue
        yield from (name for name in names if name.split(".")[0] == NAME)
