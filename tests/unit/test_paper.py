"""The paper says what the tables say, holds no result of its own, and is the same every time."""

import io
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up import digits, experiments, runs, tables
from pypdf import PdfReader

from bnstudy.analysis.comparisons import sensitivity, significance
from bnstudy.analysis.effects import EFFECTS, HORIZON, effects, horizon
from bnstudy.analysis.tasks import associations, task_table
from bnstudy.analysis.versions import versions
from bnstudy.analysis.wording import claims_table
from bnstudy.config import members
from bnstudy.config.models import Study
from bnstudy.files import write_json
from bnstudy.report import style
from bnstudy.report.captions import Caption, captions
from bnstudy.report.paper import PLACED, build, compiler_of, contents
from bnstudy.report.publication import publication

PAPER = Path(__file__).parents[2] / "paper"
# In a process of its own: Typst remembers what it has set.
BUILD = """
import json, sys
from pathlib import Path
from bnstudy.report.paper import build
source, figures, tables, values = map(Path, sys.argv[1:])
drawn, attached = sorted(figures.iterdir()), sorted(tables.iterdir())
pdf, _ = build(source, drawn, attached, json.loads(values.read_text()))
sys.stdout.buffer.write(pdf)
"""
RECORD = {"versions": {"torch": "9.9.9"}, "machine": {"processor": "Made Up"}}
ELSEWHERE = {"final_window", "profiles", "settings_ratio", "survival"}  # in the explorer alone
# Experiments beside the grid, under names that config.yaml has.
OTHERS = {
    "learning_rates": {"task": "odd", "optimizer": "sgd", "learning_rate": 0.003},
    "dropout": {"arms": ("batch", "layer-norm")},
}


@pytest.fixture
def study(config):
    return study_of(config)


def study_of(config, **analysis):
    config["analysis"] |= {"permutations": 999, "bootstraps": 999} | analysis
    return Study.from_config(config)


def decided(found, study, probes=True, **others):
    """The tables on the claims, from `found` runs, made-up probes and `others`."""
    given = (tables(found, 12) if probes else {"runs": found}) | others
    tests = significance(given, study)
    return {
        "runs": found.assign(seconds=12.5),
        "significance": tests,
        "sensitivity": sensitivity(given, study),
        "claims": claims_table(tests, study),
        "experiments": experiments(grid=found),
        "effects": pd.DataFrame(columns=EFFECTS),
        "horizon": pd.DataFrame(columns=HORIZON),
        "versions": versions([RECORD, RECORD]),
        **over_tasks(found, study),
    }


def over_tasks(found, study):
    table = task_table(found, study)
    return {"tasks": table, "associations": associations(table, study.analysis.alpha)}


def tuned_runs(study):
    """Other budgets, parts of BN, and six tasks on two kinds of inputs."""
    speed = {"learning_rate": 0.1, "schedule": "cosine", "tuned_for": "epochs_to_0.2258"}
    tasks = ["even", "linear", "odd", "product", "radial", "steps"]
    cells = [
        runs(study.analysis, (100,), 12, epochs=epochs, **speed | {"tuned_for": "final_test_loss"})
        for epochs in (300, 1000, 10_000)
    ]
    cells.append(runs(study.analysis, (100,), 12, arms=("centred",), **speed))
    cells += [
        runs(study.analysis, (100,), 12, task=task, inputs=inputs, epochs=3000, **speed)
        for task in tasks
        for inputs in ("plain", "shifted")
    ]
    return pd.concat(cells, ignore_index=True)


def made(study, **options):
    """The paper's tables of the default scope, from made-up runs."""
    return dict(_made(study.model_dump_json(), **options))


@cache
def _made(settings, **options):
    study = Study.from_config(json.loads(settings))
    return decided(runs(study.analysis, **options), study)


def extended(study):
    """Those of all experiments: other tasks, optimizers and arms, and a long horizon."""
    return dict(_extended(study.model_dump_json()))


@cache
def _extended(settings):
    study = Study.from_config(json.loads(settings))
    named = {"grid": runs(study.analysis)} | {
        name: runs(study.analysis, (300,), **settings) for name, settings in OTHERS.items()
    }
    named["tuned"] = tuned_runs(study)
    every = pd.concat(named.values(), ignore_index=True).drop_duplicates("run_key")
    cells = experiments(**named)
    epochs = np.arange(2000)
    curves = pd.concat(
        pd.DataFrame({"arm": arm, "width": 10, "seed": seed, "epoch": epochs}).assign(
            test_loss=1 / (1 + epochs)
        )
        for arm in ("none", "batch")
        for seed in range(8)
    )
    return decided(every, study, mnist1d=digits()) | {
        "experiments": cells,
        "effects": effects(every, cells, study),
        "horizon": horizon([curves], study, points=5),
        "prediction": prediction(),
    }


def prediction():
    """A correlation over tasks, one over settings that has no arm, one over seeds."""
    rows = [("tasks", 12, "batch", -0.5), ("settings", 9, None, 0.2), ("seeds", 5, "batch", 0.9)]
    table = pd.DataFrame(rows, columns=["over", "n", "arm", "correlation"])
    table["correlation_low"], table["correlation_high"] = -0.9, 0.95
    table["tuned_for"] = ["final_test_loss", None, None]
    return table.assign(condition="condition_effective", when="middle", outcome="final_test_loss")


def words(study, of):
    settings = study.model_dump(exclude={"mlflow": True, "training": {"block_size"}})
    return contents(of, settings, captions(study), publication(PAPER.parent))


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """An empty figure for every place in the paper."""
    folder = tmp_path_factory.mktemp("figures")
    for name in members.names("figures"):
        style.save(style.subplots(figsize=(2, 1))[0], folder / f"{name}.pdf", preview=False)
    return sorted(folder.iterdir())


def test_the_same_tables_give_the_same_bytes_anywhere(study, figures, tmp_path):
    of, attached = made(study), tmp_path / "tables"
    values = words(study, of)
    attached.mkdir()
    for name in ("claims", "runs"):
        of[name].to_csv(attached / f"{name}.csv", index=False)
    tables = sorted(attached.iterdir())
    first, warnings = build(PAPER, figures, tables, values)
    reader = PdfReader(io.BytesIO(first))
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"], "for a screen reader"
    assert {name: held for name, [held] in reader.attachments.items()} == {
        f"tables/{path.name}": path.read_bytes() for path in tables
    }
    assert first.startswith(b"%PDF") and len(first) > 50_000 and warnings == ""
    elsewhere = tmp_path / "deep" / "down"
    elsewhere.mkdir(parents=True)
    for source in PAPER.iterdir():
        (elsewhere / source.name).write_bytes(source.read_bytes())
    write_json(tmp_path / "values.json", values)
    arguments = [elsewhere, figures[0].parent, attached, tmp_path / "values.json"]
    again = subprocess.run(
        [sys.executable, "-c", BUILD, *arguments], capture_output=True, check=True
    )
    assert again.stdout == first
    other, _ = build(PAPER, figures, tables, words(study, made(study, seed=2)))
    assert other != first


ODD = {
    "one width": lambda study: made(study, widths=(300,)),
    "no primary cell": lambda study: made(study, widths=(100,)),
    "one seed": lambda study: made(study, count=1),
    "further arms": lambda study: made(study, arms=("batch", "batch-matched", "layer-norm")),
    "only another rate": lambda study: made(study, learning_rate=0.01),
    "only another arm": lambda study: made(study, arms=("dropout",)),
    "nothing trained": lambda study: decided(runs(study.analysis, count=1)[:0], study),
    "no probes": lambda study: decided(runs(study.analysis), study, probes=False),
    "extended": extended,
}


@pytest.mark.parametrize("name", ODD)
def test_any_study_gives_a_paper(study, figures, name, tmp_path):
    of = {}
    for stem, table in ODD[name](study).items():  # as they are read from files
        table.to_csv(tmp_path / f"{stem}.csv", index=False)
        of[stem] = pd.read_csv(tmp_path / f"{stem}.csv", keep_default_na=False, na_values=[""])
    values = words(study, of)
    json.dumps(values, allow_nan=False)
    pdf, warnings = build(PAPER, figures, [], values)
    assert pdf.startswith(b"%PDF") and warnings == ""


def test_a_study_without_probes_and_figures_gives_a_paper(config):
    for name in ("depth", "digits", "original"):
        del config["experiments"][name]
    config["default_experiments"] = ["grid"]
    study = study_of(config)
    values = words(study, decided(runs(study.analysis), study, probes=False))
    assert build(PAPER, [], [], values)[0].startswith(b"%PDF")


def elements(root, figures, values, kind):
    """Typst's elements of a kind in the paper."""
    return json.loads(compiler_of(root, PAPER, figures, [], values).query(kind))


def test_every_figure_is_in_the_paper_and_one_that_it_does_not_know_as_well(
    study, figures, tmp_path
):
    values = words(study, extended(study))
    new = tmp_path / "new_figure.pdf"
    new.write_bytes(figures[0].read_bytes())
    values["captions"]["new_figure"] = Caption("A new title", "Text.", ("runs.csv",))._asdict()
    found = elements(tmp_path / "paper", [*figures, new], values, "figure")
    labels = {element["label"] for element in found}
    names = {path.stem for path in [*figures, new]}
    placed = {name for name in names if f"<fig-{name}>" in labels}
    assert placed == names - ELSEWHERE
    assert "A new title" in json.dumps(found)
    for source in ("new_figure.py", "runs.csv"):
        assert source in json.dumps(found), "where it comes from"


def first_page(values, **known):
    values["publication"] |= known
    pdf, warnings = build(PAPER, [], [], values)
    assert warnings == ""
    return re.sub(r"\s+", " ", PdfReader(io.BytesIO(pdf)).pages[0].extract_text())


def test_version_and_licences_are_on_the_first_page_and_the_address_where_it_is_known(study):
    values = words(study, made(study))
    page = first_page(values, version="1.2.3", repository="")
    assert "Version 1.2.3. Text, figures and tables: CC BY 4.0, code: MIT licence." in page
    address = "https://example.org/bnstudy"
    assert f"MIT licence; {address}." in first_page(values, repository=address)


def test_a_claim_beyond_the_article_has_a_section(study, figures, tmp_path):
    values = words(study, made(study))
    claim = values["claims"][0] | {"claim": "C6", "words": "BN is red", "figure": "arms"}
    values["claims"].append(claim)
    values["parts"].append(values["parts"][0] | {"claim": "C6"})
    headings = json.dumps(elements(tmp_path / "paper", figures, values, "heading"))
    assert "C6" in headings and "BN is red" in headings


def test_what_was_trained_and_every_diagnostic_is_listed(study):
    of = extended(study)
    of["runs"]["final_new_thing"] = 3.25
    values = words(study, of)
    trained = json.dumps(values["trained"])
    for word in ("none (without BN)", "layer-norm", "odd", "sgd", "learning rate 0.003"):
        assert word in trained
    assert [row["seeds"] for row in values["trained"]] == ["12 from 2000"] * 4
    row = values["diagnostics"][-1]
    assert row == {"name": "new_thing", "meaning": "", "none": "3.25", "batch": "3.25"}
    known = {name: row for row in values["diagnostics"] for name in [row["name"]]}
    assert known["effective_rank"]["meaning"] and known["gradient_norm"]["meaning"]


def test_cells_that_are_missing_are_not_estimable(study):
    values = words(study, made(study, widths=(100,)))
    first = values["claims"][0]["regimes"][0]
    assert first["verdict"] == "not estimable" and first["ratio"] == "–"


def test_numbers_and_sentences_are_those_of_the_tables(study):
    of = made(study)
    values = words(study, of)
    cells = [cell for claim in values["claims"] for cell in claim["regimes"]]
    for cell, row in zip(cells, of["claims"].itertuples(), strict=True):
        assert cell["evidence"] == row.evidence and cell["verdict"] == row.verdict
        if not np.isnan(row.ratio):
            assert f"{row.ratio:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f})" in cell["ratio"]
    assert {claim["summary"] for claim in values["claims"]} == set(of["claims"].summary)
    assert [row["width"] for row in values["speed"]] == ["100", "300"]
    assert values["cost"]["minutes"] == f"{12.5 * len(of['runs']) / 60:.3g}"
    assert values["lines"] == [] and len(words(study, extended(study))["lines"]) == 3
    assert values["versions"] == {"software": ["torch 9.9.9"], "processors": ["Made Up"]}


def test_the_analysis_changes_text_and_tables(config):
    """Another level: other intervals, another sentence, other captions."""
    studies = [study_of(config, alpha=alpha) for alpha in (0.05, 0.2)]
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
    source = re.sub(r"\b(texts|columns): *(\([^)]*\)|[\w-]+)", " ", source)  # layout
    return re.sub(r"(==|>|!=|\*) *\d+", " ", source)  # conditions and counts in code


LABELS = r"\b([CH][1-5][ab]?|MNIST-1D)\b"  # of claims, hypotheses and their parts; a data set


def test_no_number_is_typed(study):
    """Every number in the text is a setting or a result: from contents.json. What is a number of
    the article or of mathematics stands between dollar signs."""
    for name, source in sources().items():
        if name == "lib.typ":
            continue  # layout only; prints nothing but its arguments
        typed = re.findall(r".*\d.*", re.sub(LABELS, " ", prose(source)))
        assert typed == [], f"paper/{name}"


OUTCOMES = (
    r"\b(supported|refuted|equivalent|inconclusive|holds|fails|significantly?|faster|slower|better|"
    r"worse|improves?|reduces?|outperforms?|hurts?|helps?)\b"
)


def test_no_outcome_is_typed_among_the_results():
    """Words that judge occur in the results only where they define what a number will mean."""
    allowed = {
        "throughout would have to hold"  # "that a network is faster throughout would have to …"
    }
    text = re.sub(r"\s+", " ", prose(sources()["results.typ"] + sources()["tables.typ"]))
    for found in re.finditer(OUTCOMES, text):
        around = text[max(0, found.start() - 40) : found.end() + 40]
        assert any(phrase in around for phrase in allowed), around


def test_the_check_finds_a_typed_number():
    known = "The converse of"
    source = sources()["results.typ"].replace(known, f"BN was 0.65 times as high. {known}", 1)
    assert re.findall(r"0\.65", prose(source))
    assert re.search(OUTCOMES, "with BN training is faster")


def test_every_figure_of_the_study_has_its_place_in_the_text():
    text = "".join(sources().values())
    for name in set(members.names("figures")) - ELSEWHERE:
        assert name in PLACED.findall(text) and f'#fig("{name}")' in text


def test_the_bibliography_is_what_the_text_cites_and_names_every_author():
    bibliography = (PAPER / "references.bib").read_text()
    entries = re.findall(r"(?m)^@\w+\{(\w+),$", bibliography)
    assert entries == sorted(set(re.findall(r"@([a-z]+\d{4})\b", "".join(sources().values()))))
    assert "and others" not in bibliography and "et al" not in bibliography


def test_what_lies_beyond_the_default_study_is_said_where_it_was_trained(study, figures, tmp_path):
    """Sections on budgets, parts and tasks, with the counts and coefficients of the tables."""
    of = extended(study)
    values = words(study, of)
    headings = json.dumps(elements(tmp_path / "paper", figures, values, "heading"))
    told = "Does more training make them equal?", "Which part of BN?", "Other tasks", "Why?"
    assert all(heading in headings for heading in told)
    assert [row["over"] for row in values["prediction"]] == ["tasks (12)", "settings (9)"]
    assert values["prediction"][0]["correlation"] == "-0.50 (-0.90 to 0.95)"
    assert values["prediction"][0]["found"] == "not found"
    first = values["tasks"][0]
    ratio = np.exp(of["tasks"].query("quantity == 'epochs_to_0.2258'").d)
    assert (first["below"], first["cells"]) == ((ratio < 1 / 1.1).sum(), 12)
    assert {row["arm"] for row in values["tuned"]} == {"batch", "centred"}
    even = values["associations"][1]
    assert even["property"] == "even share"
    assert even["coefficient"].startswith(f"{of['associations'].coefficient[2]:.2f} (")
    default = words(study, made(study))
    assert default["tasks"] == default["associations"] == default["tuned"] == []


def test_what_was_predicted_of_tasks_is_said_to_be_found_or_not(study):
    """At 1.244 of the even share, at every quantity of shifted inputs; of nothing else."""
    rows = [
        ("epochs_to_0.2258", "even_share", 1.0, 2.0),
        ("epochs_to_1.244", "even_share", -1.0, 2.0),
        ("epochs_to_1.244", "C(inputs)[T.shifted]", -2.0, -1.0),
        ("final_test_loss", "C(inputs)[T.shifted]", 1.0, 2.0),
        ("final_test_loss", "np.log(roughness)", 1.0, 2.0),
    ]
    table = pd.DataFrame(rows, columns=["quantity", "property", "low", "high"])
    values = words(study, made(study) | {"associations": table.assign(coefficient=0.0, p=0.5)})
    found = [row["found"] for row in values["associations"]]
    assert found == ["", "not found", "found", "the opposite", ""]
