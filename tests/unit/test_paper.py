"""The paper says what the tables say, holds no result of its own, and is the same every time."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up import runs, tables

from bnstudy.claims import claims_table
from bnstudy.extended import EFFECTS, HORIZON, effects, horizon
from bnstudy.figures import style
from bnstudy.figures.captions import CAPTIONS, captions
from bnstudy.files import write_json
from bnstudy.hypotheses import sensitivity, significance
from bnstudy.paper import build, contents
from bnstudy.study import Study

PAPER = Path(__file__).parents[2] / "paper"
# In a process of its own: Typst remembers what it has set.
BUILD = """
import json, sys
from pathlib import Path
from bnstudy.paper import build
source, figures, values = map(Path, sys.argv[1:])
pdf, _ = build(source, sorted(figures.iterdir()), json.loads(values.read_text()))
sys.stdout.buffer.write(pdf)
"""
RECORDS = [{"versions": {"torch": "9.9.9"}, "machine": {"processor": "Made Up"}}]


@pytest.fixture
def study(config):
    config["analysis"] |= {"permutations": 999, "bootstraps": 999}
    return Study.from_config(config)


def made(study, extended=False, **options):
    """The paper's tables, from made-up runs."""
    found = runs(study.analysis, **options)
    found = found.assign(status="finished", seconds=12.5)
    given = tables(found, found.seed.nunique())
    tests = significance(given, study.analysis, study.preview)
    of = {"runs": found, "significance": tests, "sensitivity": sensitivity(given, study.analysis),
          "claims": claims_table(tests, study.analysis, study.preview)}  # fmt: skip
    if extended:
        of["effects"] = effects(
            found.assign(kind="learning_rate", variant="lr", learning_rate=0.01), found,
            study.analysis,
        )  # fmt: skip
        epochs = np.arange(2000)
        curves = [
            pd.DataFrame({"arm": arm, "width": 10, "seed": seed, "epoch": epochs,
                          "test_loss": 1 / (1 + epochs)})
            for arm in ("none", "batch") for seed in range(8)
        ]  # fmt: skip
        of["horizon"] = horizon(pd.concat(curves), study.analysis, points=5)
    return of


def words(study, of):
    return contents(of, RECORDS, study.model_dump(exclude={"mlflow"}), captions(study))


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """An empty figure for every place in the paper."""
    folder = tmp_path_factory.mktemp("figures")
    for name in CAPTIONS:
        style.save(style.subplots(figsize=(2, 1))[0], folder / f"{name}.pdf", preview=False)
    return sorted(folder.iterdir())


def test_the_same_tables_give_the_same_bytes_anywhere(study, figures, tmp_path):
    values = words(study, made(study))
    first, warnings = build(PAPER, figures, values)
    assert first.startswith(b"%PDF") and len(first) > 50_000 and warnings == ""
    elsewhere = tmp_path / "deep" / "down"
    elsewhere.mkdir(parents=True)
    for source in PAPER.iterdir():
        (elsewhere / source.name).write_bytes(source.read_bytes())
    write_json(tmp_path / "values.json", values)
    arguments = [elsewhere, figures[0].parent, tmp_path / "values.json"]
    again = subprocess.run(
        [sys.executable, "-c", BUILD, *arguments], capture_output=True, check=True
    )
    assert again.stdout == first
    other, _ = build(PAPER, figures, words(study, made(study, seed=2)))
    assert other != first


@pytest.mark.parametrize("options", [
    {"widths": (300,)},  # one width
    {"widths": (100,)},  # the primary cell is absent
    {"count": 1},  # too few seeds
    {"widths": (100, 300), "arms": ("batch", "batch-matched", "none-standardized")},
    {"extended": True},
], ids=["one width", "no primary cell", "one seed", "further arms", "extended"])  # fmt: skip
def test_any_grid_gives_a_paper(study, figures, options):
    values = words(study, made(study, **options))
    json.dumps(values, allow_nan=False)
    pdf, warnings = build(PAPER, figures, values)
    assert pdf.startswith(b"%PDF") and warnings == ""


def test_an_empty_extended_study_gives_a_paper(study, figures):
    none = {"effects": pd.DataFrame(columns=EFFECTS), "horizon": pd.DataFrame(columns=HORIZON)}
    values = words(study, made(study) | none)
    assert build(PAPER, figures, values)[0].startswith(b"%PDF")


def test_cells_that_are_missing_are_not_estimable(study):
    values = words(study, made(study, widths=(100,)))
    first = values["claims"][0]
    assert first["verdict"] == "not estimable" and first["ratio"] == "–"


def test_numbers_and_sentences_are_those_of_the_tables(study):
    of = made(study)
    values = words(study, of)
    for claim, row in zip(values["claims"], of["claims"].itertuples(), strict=True):
        assert claim["sentence"] == row.sentence and claim["verdict"] == row.verdict
        assert claim["ratio"] == f"{row.ratio:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f})"
        assert " ".join(claim["evidence"]) == row.evidence
    assert [row["width"] for row in values["speed"]["rows"]] == ["100", "300"]
    assert values["cost"]["minutes"] == f"{12.5 * len(of['runs']) / 60:.3g}"
    assert values["versions"] == {"software": ["torch 9.9.9"], "processors": ["Made Up"]}


def test_the_analysis_changes_text_and_tables(config):
    """Another level: other intervals, another sentence, other captions."""
    settings = [copy.deepcopy(config), copy.deepcopy(config)]
    for one, alpha in zip(settings, (0.05, 0.2), strict=True):
        one["analysis"] |= {"permutations": 999, "bootstraps": 999, "alpha": alpha}
    studies = [Study.from_config(one) for one in settings]
    a, b = (words(study, made(study)) for study in studies)
    for part in ("claims", "speed", "final", "sensitivity", "captions", "level"):
        assert a[part] != b[part], part


def sources():
    return {path.name: path.read_text() for path in sorted(PAPER.glob("*.typ"))}


def prose(source: str) -> str:
    """What is typed as text: without comments, mathematics, references and code."""
    source = re.sub(r"(?m)(^|\s)//.*$", " ", source)
    source = re.sub(r"(?m)^#(import|include|show|set) .*$", " ", source)
    source = re.sub(r"\$[^$]*\$", " ", source)
    source = re.sub(r"`[^`]*`", " ", source)
    source = re.sub(r"[@<][a-z][\w-]*(\[[^]]*\])?>?", " ", source)
    source = re.sub(r'"[^"\n]*"', " ", source)  # strings: names of fields, figures, columns
    source = re.sub(r"#?(claim-of|verdict-on)\([^)]*\)", " ", source)
    source = re.sub(r"\b(texts|columns|rowspan): *(\([^)]*\)|[\w-]+)", " ", source)  # layout
    return re.sub(r"(==|>|!=|\*) *\d+", " ", source)  # conditions and counts in code


LABELS = r"\b[CH][1-5][ab]?\b"  # of claims, hypotheses and their parts


def test_no_number_is_typed(study):
    """Every number in the text is a setting or a result: from contents.json. What is a number of
    the article or of mathematics stands between dollar signs."""
    for name, source in sources().items():
        if name == "lib.typ":
            continue  # layout only; prints nothing but its arguments
        typed = re.findall(r".*\d.*", re.sub(LABELS, " ", prose(source)))
        assert typed == [], f"paper/{name}"


OUTCOMES = (r"\b(supported|refuted|equivalent|inconclusive|significantly?|faster|slower|better|"
            r"worse|improves?|reduces?|outperforms?|hurts?|helps?)\b")  # fmt: skip


def test_no_outcome_is_typed_among_the_results():
    """Words that judge occur in the results only where they define what a number will mean."""
    allowed = {
        "throughout would have to hold",  # "that a network is faster throughout would have to …"
        "a refuted one, else that",  # which part of a conjunction a table shows
        "equivalent within a factor",  # a column's meaning
    }
    text = re.sub(r"\s+", " ", prose(sources()["results.typ"]))
    for found in re.finditer(OUTCOMES, text):
        around = text[max(0, found.start() - 40) : found.end() + 40]
        assert any(phrase in around for phrase in allowed), around


def test_the_check_finds_a_typed_number():
    source = sources()["results.typ"].replace("== C2", "BN was 0.65 times as high.\n\n== C2", 1)
    assert re.findall(r"0\.65", prose(source))
    assert re.search(OUTCOMES, "with BN training is faster")


def test_every_figure_of_the_study_is_in_the_paper():
    text = "".join(sources().values())
    for name in CAPTIONS:
        assert f'study-figure("{name}"' in text and f"@fig-{name}" in text
