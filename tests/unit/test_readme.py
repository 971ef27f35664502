"""What the README says was found stands in the published tables."""

import re
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[2]


def test_the_findings_are_the_published_sentences():
    text = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    tests = pd.read_csv(ROOT / "published/tables/significance.csv")
    decisive = tests[tests.role == "primary"]
    assert len(decisive) == 2
    for sentence in decisive.sentence:
        assert sentence in text


def test_the_readmes_table_has_the_published_ratios_and_verdicts():
    text = (ROOT / "README.md").read_text()
    tests = pd.read_csv(ROOT / "published/tables/significance.csv")
    for row in tests[tests.role.isin(["primary", "secondary"])].itertuples():
        cell = f"{row.ratio:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f}): {row.verdict}"
        line = re.search(rf"^\| {row.width} \|.*$", text, re.MULTILINE)[0]
        assert cell in line
