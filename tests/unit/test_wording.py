"""The words on claims, of tables made up: sentences, the matrix, and the whole page."""

import numpy as np
import pandas as pd
import pytest

from bnstudy.analysis.wording import changes, claims_page, interval, plain, sentence, summary, tally

FIRST, SECOND = "as the article ran it", "tuned"
CLAIMS = pd.DataFrame(
    {
        "claim": ["C1", "C1", "C2"],
        "words": ["It is faster", "It is faster", "It is better"],
        "regime": [FIRST, SECOND, SECOND],
        "verdict": ["holds", "open", "not estimable"],
        "width": [30.0, 30.0, np.nan],
        "quantity": ["epochs", "epochs", "loss"],
        "ratio": [0.5, 0.9, np.nan],
        "ratio_low": [0.4, 0.8, np.nan],
        "ratio_high": [0.6, 1.1, np.nan],
        "bound": ["", "at most", np.nan],
        "evidence": ["One.", "Two.", "Three."],
        "summary": ["Of C1.", "Of C1.", "Of C2."],
        "figure": ["speed", "speed", "loss"],
    }
)
SENSITIVITY = pd.DataFrame(
    {
        "claim": ["C1", "C1", "C2", "C1", "C1", "C2"],
        "regime": [FIRST, SECOND, SECOND] * 2,
        "choice": ["medians"] * 3 + ["margins"] * 3,
        "verdict": ["holds", "open", None, "fails", "open", None],
        "changed": [False, False, False, True, False, False],
    }
)
PAGE = """# The article's claims

Generated from `tables/claims.csv` and `tables/sensitivity.csv`; every number is this study's. \
Ratios are with BN over without, paired by seed.

| | as the article ran it | tuned |
|---|---|---|
| C1: It is faster | **holds** 0.50 (0.40 to 0.60) | **open** at most 0.90 (0.80 to 1.10) |
| C2: It is better |  | **not estimable** – |

## C1

> It is faster

Of C1.

**As the article ran it: holds.** One.

**Tuned: open.** Two.

**A verdict changes** with another analysis: margins: fails as the article ran it.

![Speed](figures/speed.svg)

*Speed.* Epochs.

## C2

> It is better

Of C2.

**Tuned: not estimable.** Three.

None of the alternative analyses below changes a verdict on it.

## Sensitivity

What the verdicts would be had the analysis been chosen otherwise.

| | medians | margins |
|---|---|---|
| C1, as the article ran it | holds | **fails** |
| C1, tuned | open | open |
| C2, tuned |  |  |
"""


def test_the_page_of_the_claims():
    """Word for word; the figure of C2 was not drawn."""
    assert claims_page(CLAIMS, SENSITIVITY, {"speed": ("Speed", "Epochs.")}) == PAGE


def test_a_claims_summary_goes_by_verdicts():
    rows = CLAIMS.iloc[[2, 1, 0]]
    assert summary(rows) == (
        "Holds: as the article ran it (width 30, epochs: ratio 0.50); open: tuned (width 30, "
        "epochs: ratio at most 0.90); not estimable: tuned (loss: ratio none)."
    )


def test_verdicts_are_counted_by_claim():
    assert tally(CLAIMS) == [
        "C1, of 2 regimes: holds in 1, open in 1.",
        "C2, of 1 regimes: not estimable in 1.",
    ]


def test_each_verdict_that_changes_is_named():
    rows = SENSITIVITY.assign(changed=[False, True, False, True, False, False])
    assert changes(rows[rows.claim == "C1"]) == (
        "**A verdict changes** with another analysis: medians: open tuned; "
        "margins: fails as the article ran it."
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [(1234.5, "1,234"), (100.0, "100"), (99.96, "100"), (12.345, "12.3"), (0.00123456, "0.00123")],
)
def test_numbers_are_plain(value, words):
    assert plain(value) == words


ROW = {
    **{"regime": FIRST, "width": 30, "quantity": "epochs", "arm": "batch", "reference": "none"},
    **{"ratio": 0.5, "ratio_low": 0.4, "ratio_high": 0.6, "n_pairs": 10, "margin": 1.1},
    **{"p_holm": 0.0123, "at_floor": False, "direction": "lower", "allows": "lower or same"},
    **dict.fromkeys(("censored_arm", "censored_reference", "failed_arm", "failed_reference"), 0),
    **{"bound": "", "reason": ""},
}
SAID = "As the article ran it, width 30: epochs with BN over without"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, f"{SAID} 0.50 (0.40 to 0.60), 10 pairs, Holm p = 0.012: lower, as claimed."),
        (
            {"direction": "same", "at_floor": True, "bound": "at most"},
            f"{SAID} at most 0.50 (0.40 to 0.60), 10 pairs, Holm p ≤ 0.012: same within a factor "
            "of 1.1, as claimed.",
        ),
        (
            {"direction": "not higher", "allows": "same", "arm": "centred"},
            f"{SAID} (centred / none) 0.50 (0.40 to 0.60), 10 pairs, Holm p = 0.012: not higher "
            "within a factor of 1.1, as claimed.",
        ),
        (
            {"direction": "higher", "regime": "a new task", "width": np.nan},
            "A new task: epochs with BN over without 0.50 (0.40 to 0.60), 10 tasks, Holm "
            "p = 0.012: higher, against the claim.",
        ),
        (
            {"direction": "open", "p_holm": np.nan},
            f"{SAID} 0.50 (0.40 to 0.60), 10 pairs, Holm p –: open.",
        ),
        (
            {"allows": "", "censored_arm": 2, "failed_reference": 1},
            f"{SAID} 0.50 (0.40 to 0.60), 10 pairs, Holm p = 0.012: lower; 2 runs of batch and 0 "
            "of none never got there; 0 runs of batch and 1 of none diverged.",
        ),
        (
            {"direction": "not estimable"},
            "As the article ran it, width 30: epochs is not estimable: no interval.",
        ),
        (
            {"direction": "not estimable", "reason": "too few", "failed_arm": 3},
            "As the article ran it, width 30: epochs is not estimable: too few; 3 runs of batch "
            "and 0 of none diverged.",
        ),
    ],
)
def test_a_comparison_is_one_sentence(changed, words):
    [row] = pd.DataFrame([ROW | changed]).itertuples()
    assert sentence(row) == words


def test_a_ratio_without_pairs_has_no_number():
    [row] = pd.DataFrame([ROW | {"ratio": np.nan}]).itertuples()
    assert interval(row) == "–"
