"""What is generated in README, CITATION.cff and checklist is what the committed tables say."""

import pandas as pd
import pytest

from bnstudy.files import read_csv, write_csv
from bnstudy.report.publication import citation, publication
from bnstudy.report.readme import compute, filled, findings, texts
from tests.clone import ROOT


def test_the_generated_parts_are_up_to_date():
    for name, text in texts(ROOT).items():
        assert text == (ROOT / name).read_text(), f"{name}: run `make readme`"


def test_the_total_compute_is_the_sum_of_the_runs_seconds(tmp_path):
    for scope, seconds in (("", [1800.0, 1800.0]), ("extended/", [7200.0, 540.0])):
        write_csv(tmp_path / f"{scope}tables/runs.csv", pd.DataFrame({"seconds": seconds}))
    assert compute(tmp_path).splitlines()[2:] == ["| default | 2 | 1.0 |", "| all | 2 | 2.1 |"]


def test_version_and_address_are_those_of_the_project(tmp_path):
    """The address is left out where it is not known."""
    project = '[project]\ndescription = "BN"\nversion = "1.2.3"\n[project.urls]\n'
    (tmp_path / "pyproject.toml").write_text(project)
    assert publication(tmp_path) == {"description": "BN", "version": "1.2.3", "repository": ""}
    assert citation(tmp_path) == "version: 1.2.3"
    (tmp_path / "pyproject.toml").write_text(f'{project}Repository = "https://example.org"\n')
    assert citation(tmp_path) == "version: 1.2.3\nrepository-code: https://example.org"


def test_the_findings_are_the_published_claims():
    text = "\n".join(findings(ROOT / "published" / "tables"))
    claims = read_csv(ROOT / "published/tables/claims.csv")
    assert claims.claim.nunique() == 5
    for claim in claims.itertuples():
        assert claim.summary in text and claim.regime in text and claim.words in text


def test_a_missing_place_is_named():
    with pytest.raises(ValueError, match="no place for 'findings'"):
        filled("# nothing here", {"findings": "x"})


@pytest.mark.parametrize("marks", ["<!-- a: generated -->|<!-- end of a -->", "# a: x|# end of a"])
def test_parts_are_written_between_their_markers(marks):
    start, end = marks.split("|")
    text = f"before\n{start}\nold\n{end}\nafter\n"
    once = filled(text, {"a": r"new \1 | %"})
    assert once == text.replace("old", r"new \1 | %") == filled(once, {"a": r"new \1 | %"})
