"""The README's findings and speed table are those of the committed tables."""

import re

import pytest

from bnstudy.files import read_csv
from bnstudy.readme import ROOT, filled, findings, parts


def test_the_generated_parts_are_up_to_date():
    text = (ROOT / "README.md").read_text()
    assert filled(text, parts()) == text, "run `make readme`"


def test_the_findings_are_the_published_claims():
    text = findings(ROOT / "published")
    claims = read_csv(ROOT / "published/tables/claims.csv")
    assert len(claims) == 5
    for claim in claims.itertuples():
        assert claim.evidence in text
        assert re.search(rf"\| {claim.claim}: .*\*\*{claim.verdict}\*\*", text)


def test_a_missing_place_is_named():
    with pytest.raises(ValueError, match="no place for 'findings'"):
        filled("# nothing here", {"findings": "x"})
