"""The limits of the house: how much code there is, and how thin the workflow's scripts are."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
BLANK = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER,
}  # fmt: skip


def lines_of_code(text: str) -> int:
    """Lines without blanks, comments and docstrings."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(
            node
        ):
            first = node.body[0]
            documented |= set(range(first.lineno, first.end_lineno + 1))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = (range(t.start[0], t.end[0] + 1) for t in tokens if t.type not in BLANK)
    return len(set().union(*lines) - documented)


def test_lines_of_code_are_counted():
    text = '"""Doc."""\n\n# comment\nx = 1\n\ndef f():\n    """Doc\n    doc."""\n    return (\n1)\n'
    assert lines_of_code(text) == 4


@pytest.mark.parametrize(("part", "limit"), [("", 9415), ("tracking", 900)])
def test_the_package_stays_small(part, limit):
    """6,500 was the aim for the whole, and is missed by far: the kernel for GPUs with its evaluator
    takes 280, the explorer 300, the curvature of the loss with what it predicts 300, the calm
    terminal 200, tasks and trends 200, digests beside tables 40, other users 15, two further
    experiments of their own kind 200; tuning, the matrix, the infimum, three evaluations, nine
    figures, four arms and five tasks the rest."""
    files = [file for file in SOURCES if not part or part in file.parts]
    assert 0 < sum(lines_of_code(file.read_text()) for file in files) <= limit


def test_the_formatter_is_rarely_switched_off():
    assert sum(file.read_text().count("fmt: skip") for file in SOURCES) <= 20


def test_scripts_only_adapt():
    scripts = list((ROOT / "workflow" / "scripts").glob("*.py"))
    assert len(scripts) > 10
    assert max(len(script.read_text().splitlines()) for script in scripts) <= 20
