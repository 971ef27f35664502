"""The paper: what it says of the results is taken from the tables, its pages are set by Typst.

`contents` turns tables and settings into the words and numbers that paper/*.typ prints; the source
there holds definitions and arguments, and no result. `build` sets it.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import typst

from bnstudy.claims import changes, interval, p_text
from bnstudy.figures.captions import Caption
from bnstudy.files import write_json

Rows = list[dict[str, Any]]
DECIDED = ["primary", "secondary"]


def contents(
    tables: Mapping[str, pd.DataFrame],
    records: Sequence[Mapping],
    settings: Mapping[str, Any],
    captions: Mapping[str, Caption],
) -> dict[str, Any]:
    """What the paper prints, ready to be set: texts, and the settings as they are.

    `tables`: claims, significance, sensitivity and runs, and for the extended study's section
    effects and horizon; `records`: those of the training jobs; `settings`: the study's.
    """
    tests, runs = tables["significance"], tables["runs"]
    return {
        "settings": settings,
        "level": f"{100 * (1 - settings['analysis']['alpha']):g} %",
        "captions": {name: caption._asdict() for name, caption in captions.items()},
        "claims": _claims(tables["claims"], tests, tables["sensitivity"]),
        "parts": _parts(tests),
        "speed": _by_width(tests, "H1", "ratio"),
        "final": _by_width(tests, "H2a", "hl_ratio"),
        "inside": [_by_width(tests, part, "ratio") for part in ("H2b", "H3a", "H3b")],
        "beside": _beside(tests),
        "trends": _trends(tests),
        "arms": _arms(tests, settings["analysis"]["primary"]["threshold"]),
        "sensitivity": _sensitivity(tables["sensitivity"]),
        "runs": {"trained": len(runs), "diverged": int((runs.status == "diverged").sum())},
        "cost": _cost(runs),
        "versions": _versions(records),
        "extended": _extended(tables) if "effects" in tables else None,
    }


def build(source: Path, figures: Sequence[Path], values: Mapping[str, Any]) -> tuple[bytes, str]:
    """The PDF of the Typst sources in `source` with `values` and `figures`, and the warnings.

    Set in a folder of its own, with the compiler's own fonts and without a date: the same
    arguments give the same bytes, wherever they lie. RuntimeError names what Typst cannot set.
    """
    with TemporaryDirectory() as folder:
        root = Path(folder) / "paper"
        shutil.copytree(source, root)
        (root / "figures").mkdir()
        for figure in figures:
            shutil.copyfile(figure, root / "figures" / figure.name)
        write_json(root / "contents.json", values)
        compiler = typst.Compiler(
            str(root / "paper.typ"), root=str(root), font_paths=[], ignore_system_fonts=True
        )
        pdf, warnings = compiler.compile_with_warnings(format="pdf")
        return pdf, "\n".join(map(str, warnings))


def _claims(claims: pd.DataFrame, tests: pd.DataFrame, sensitivity: pd.DataFrame) -> Rows:
    """One entry a claim: the verdict, its numbers and sentences, what would change it."""
    primary = tests[tests.role == "primary"]
    rows = []
    for claim in claims.itertuples():
        parts = primary[primary.hypothesis.str.startswith(claim.hypothesis)]
        changed = changes(sensitivity[sensitivity.claim == claim.claim]).replace("**", "")
        rows.append({
            **{name: str(getattr(claim, name)) for name in
               ("claim", "words", "hypothesis", "verdict", "sentence", "deciding_part", "figure")},
            "pairs": f"{claim.n_pairs:g}", "ratio": interval(claim), "p": p_text(claim.p),
            "p_holm": p_text(claim.p_holm), "evidence": list(parts.sentence), "changes": changed,
        })  # fmt: skip
    return rows


def _by_width(tests: pd.DataFrame, part: str, ratio: str) -> dict[str, Any]:
    """One part of a hypothesis at every width."""
    rows = tests[tests.role.isin(DECIDED) & (tests.hypothesis == part)].sort_values("width")
    return {"part": part, "quantity": "" if rows.empty else rows.quantity.iloc[0], "rows": [
        {"width": f"{row.width:g}", "pairs": f"{row.n_pairs:g}", "ratio": interval(row, ratio),
         "none": _number(row.median_none), "batch": _number(row.median_batch),
         "p_holm": p_text(row.p_holm), "verdict": row.verdict}
        for row in rows.itertuples()
    ]}  # fmt: skip


def _beside(tests: pd.DataFrame) -> Rows:
    """The other tests of H1 at the primary cell, with the share of runs that got there."""
    primary = tests[(tests.role == "primary") & (tests.hypothesis == "H1")]
    same = tests.width.isin(primary.width) & tests.threshold.isin(primary.threshold)
    rows = tests[same & (tests.role == "beside") & (tests.hypothesis == "H1")]
    return [{"test": row.test, "p": p_text(row.p)} for row in rows.itertuples()]


def _parts(tests: pd.DataFrame) -> Rows:
    """The comparisons that decide, a row a part, with what difference each could have seen."""
    return [
        {"part": row.hypothesis, "quantity": row.quantity, "pairs": f"{row.n_pairs:g}",
         "none": _number(row.median_none), "batch": _number(row.median_batch),
         "ratio": interval(row), "p": p_text(row.p), "verdict": row.verdict,
         "spread": _number(row.sd_log_ratio), "detectable": _number(row.detectable_ratio)}
        for row in tests[tests.role == "primary"].itertuples()
    ]  # fmt: skip


def _trends(tests: pd.DataFrame) -> Rows:
    """BN's effect against width: Page's test, and the factor by which the ratio changes for ten
    times the width."""
    rows = []
    for part, of_part in tests[tests.role == "trend"].groupby("hypothesis"):
        page, slope = (of_part[of_part.test == t].iloc[0] for t in ("Page", "slope sign-flip"))
        rows.append({
            "part": part, "quantity": slope.quantity.split(":")[0], "pairs": f"{slope.n_pairs:g}",
            "factor": interval(slope), "p": p_text(slope.p), "page_p": p_text(page.p),
        })  # fmt: skip
    return rows


def _arms(tests: pd.DataFrame, threshold: float) -> Rows:
    """Every arm against none, a row a width and arm: epochs to the threshold, final test loss."""
    rows = []
    arms = tests[tests.hypothesis == "arms"]
    for (width, arm), of_arm in arms.groupby(["width", "arm"], sort=False):
        speed = of_arm[of_arm.threshold == threshold].iloc[0]
        final = of_arm[of_arm.threshold.isna()].iloc[0]
        rows.append({
            "width": f"{width:g}", "arm": arm, "pairs": f"{final.n_pairs:g}",
            "speed": interval(speed), "speed_p": p_text(speed.p),
            "final": interval(final), "final_p": p_text(final.p),
        })  # fmt: skip
    return rows


def _sensitivity(table: pd.DataFrame) -> dict[str, Any]:
    """Verdicts under every choice of analysis, and which differ from the stated one's."""
    claims = list(dict.fromkeys(table.claim))
    rows = [
        {"choice": choice, "cells": [
            {"verdict": row.verdict, "changed": bool(row.changed)}
            for row in of_choice.set_index("claim").loc[claims].itertuples()
        ]}
        for choice, of_choice in table.groupby("choice", sort=False)
    ]  # fmt: skip
    return {"claims": claims, "rows": rows}


def _cost(runs: pd.DataFrame) -> dict[str, Any]:
    """Measured seconds a run, by width and arm; all of them together."""
    arms = list(dict.fromkeys(runs.arm))
    mean = runs.pivot_table(index="width", columns="arm", values="seconds", aggfunc="mean")
    rows = [
        {"width": f"{width:g}", "runs": int((runs.width == width).sum()),
         "seconds": [_number(mean.at[width, arm], "–") for arm in arms]}
        for width in mean.index
    ]  # fmt: skip
    return {"arms": arms, "rows": rows, "minutes": f"{runs.seconds.sum() / 60:.3g}"}


def _versions(records: Sequence[Mapping]) -> dict[str, list[str]]:
    """What the training jobs ran on: software and processors, each once."""
    versions = {f"{k} {v}" for record in records for k, v in record["versions"].items()}
    return {
        "software": sorted(versions),
        "processors": sorted({record["machine"]["processor"] for record in records}),
    }


def _extended(tables: Mapping[str, pd.DataFrame]) -> dict[str, Rows]:
    """The extended study: BN's effect a setting and width, and at the end of the long horizon."""
    effects, horizon = tables["effects"], tables["horizon"]
    settings = []
    for label, rows in effects.groupby("label", sort=False):
        of = rows.set_index("quantity")
        settings.append({
            "label": label, "pairs": f"{rows.n_pairs.iloc[0]:g}",
            **{name: interval(of.loc[name]) for name in
               ("final_test_loss", "epochs_to", "test_over_train")},
        })  # fmt: skip
    last = horizon.sort_values("epochs").groupby("width").tail(1).sort_values("width")
    ends = [
        {"width": f"{row.width:g}", "epochs": f"{row.epochs:,}", "pairs": f"{row.n_pairs:g}",
         "ratio": interval(row), "none": _number(row.slope_none), "batch": _number(row.slope_batch)}
        for row in last.itertuples()
    ]  # fmt: skip
    return {"settings": settings, "horizon": ends}


def _number(value: float, missing: str = "–") -> str:
    """Three significant digits."""
    if pd.isna(value):
        return missing
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
