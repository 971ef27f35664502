"""The README's findings and speed table are those of the committed tables."""

import pytest

from bnstudy.files import read_csv
from bnstudy.report.readme import filled, findings, parts, write
from tests.clone import ROOT


def test_the_generated_parts_are_up_to_date():
    text = (ROOT / "README.md").read_text()
    assert filled(text, parts(ROOT)) == text, "run `make readme`"


def test_the_findings_are_the_published_claims():
    text = "\n".join(findings(ROOT / "published" / "tables"))
    claims = read_csv(ROOT / "published/tables/claims.csv")
    assert claims.claim.nunique() == 5
    for claim in claims.itertuples():
        assert claim.summary in text and claim.regime in text and claim.words in text


def test_a_missing_place_is_named():
    with pytest.raises(ValueError, match="no place for 'findings'"):
        filled("# nothing here", {"findings": "x"})


def test_parts_are_written_between_their_markers(tmp_path, monkeypatch):
    text = "before\n<!-- a: generated -->\nold\n<!-- end of a -->\nafter\n"
    (tmp_path / "README.md").write_text(text)
    monkeypatch.setattr("bnstudy.report.readme.parts", lambda root: {"a": r"new \1 | %"})
    write(tmp_path)
    write(tmp_path)
    assert (tmp_path / "README.md").read_text() == text.replace("old", r"new \1 | %")
