"""The explorer: what it takes from the tables, and that the page is whole and safe."""

import json
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
from made_up import TASKS, explorer_tables

from bnstudy.config.models import Study
from bnstudy.report import explorer
from bnstudy.report.style import look

HOSTILE = "</script><b>&"  # what an experiment may not be called, but a page must survive


@pytest.fixture(scope="module", autouse=True)
def _library_made_once():
    """It takes seconds, and is the same on every page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explorer, "library", cache(explorer.library))
        yield


@pytest.fixture(scope="module")
def study(default_config):
    analysis = default_config["analysis"] | {"permutations": 999, "bootstraps": 999}
    return Study.from_config(default_config | {"analysis": analysis})


@pytest.fixture(scope="module")
def tables(study):
    return explorer_tables(study)


def page_of(tables, study) -> str:
    return explorer.page(tables, explorer.TEMPLATE.read_text(), study)


def data_of(page: str) -> dict:
    """What the page knows."""
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


@pytest.fixture(scope="module")
def page(tables, study):
    return page_of(tables, study)


@pytest.fixture(scope="module")
def data(page):
    return data_of(page)


def test_the_page_names_no_other_file(page):
    assert not re.search(r"<link|<img|<script[^>]* src|@import|url\(", page.split("<script>")[0])
    assert set(re.findall(r'href="([^"#])', page.split("<script>")[0])) == set()


def test_the_same_tables_give_the_same_bytes(tables, study, page):
    assert page_of(tables, study) == page


def test_every_claim_has_its_regimes_with_their_evidence(tables, data):
    shown = {
        (claim["name"], cell["regime"]): (cell["verdict"], " ".join(cell["sentences"]))
        for claim in data["claims"]
        for cells in claim["cells"].values()
        for cell in cells
    }
    claims = tables["claims"].set_index(["claim", "regime"])
    wanted = zip(claims.verdict, claims.evidence, strict=True)
    assert shown == dict(zip(claims.index, wanted, strict=True)) and len(shown) > 10


def test_regimes_that_several_claims_have_are_columns(data):
    for claim in data["claims"]:
        for column, cells in claim["cells"].items():
            own = column != explorer.COLUMNS[-1]
            assert {cell["regime"] == column for cell in cells} <= {own}


def test_quartiles_are_of_the_experiments_seeds_and_a_diverged_run_is_infinite(study):
    """Of 1 … 5 they are 2, 3, 4; with 5 instead infinite the same, with 4 too the third is none.
    The seed 7 is another experiment's."""
    rows = [("c", 3, s, e, s + 1.0, 10.0) for s in (0, 1, 2, 3, 4, 7) for e in range(3)]
    curves = pd.DataFrame(rows, columns=explorer.CURVES)
    curves.loc[(curves.epoch >= 1) & (curves.seed == 4), "train_loss"] = np.nan
    curves.loc[(curves.epoch >= 2) & (curves.seed == 3), "train_loss"] = np.inf
    cell = {"cell": "c", "arm": "batch", "learning_rate": 0.1, "schedule": "cosine"}
    experiments = pd.DataFrame([cell | {"first_seed": 0, "seeds": 5}])
    (series,) = explorer.series(curves, experiments)
    assert series["epochs"] == [1, 2, 3] and series["arm"] == look("batch").label
    assert series["train"] == [[2, 2, 2], [3, 3, 3], [4, 4, None]]
    assert series["test"] == [[10] * 3] * 3


@pytest.mark.parametrize("there", [range(10_000), range(0, 10_000, 7)])
def test_curves_are_shown_at_log_spaced_epochs_with_the_first_and_the_last(there):
    rows = [("c", 10_000, 0, e, 1.0, 1.0) for e in there]
    curves = pd.DataFrame(rows, columns=explorer.CURVES)
    experiments = pd.DataFrame(
        [{"cell": "c", "arm": "none", "learning_rate": 0.1, "schedule": "constant"}]
    ).assign(first_seed=0, seeds=1)
    (series,) = explorer.series(curves, experiments)
    epochs = np.array(series["epochs"])
    assert epochs[0] == 1 and epochs[-1] == there[-1] + 1 and len(epochs) <= explorer.POINTS
    late = epochs[epochs > 500]
    assert (late[1:] / late[:-1]).max() < 1.3  # 40 points over 4 decades: 10^(4/39) = 1.27


def test_a_group_of_curves_has_all_arms_of_one_experiment_at_the_same_settings(data):
    groups = {group["label"]: group["series"] for group in data["curves"]}
    arms = {label: [data["series"][i]["arm"] for i in places] for label, places in groups.items()}
    pair = sorted([look("none").label, look("batch").label])
    assert sorted(arms["grid: width 100"]) == sorted(arms["grid: width 300"]) == pair
    assert sorted(arms["rates: learning rate 0.01, cosine"]) == pair


def test_tuned_cells_are_one_group_and_say_what_was_chosen(data):
    label = "tuned: tuned for final_test_loss"
    (group,) = [group for group in data["curves"] if group["label"] == label]
    rates = {data["series"][i]["arm"]: data["series"][i]["learning_rate"] for i in group["series"]}
    assert rates == {look("none").label: 0.3, look("batch").label: 0.1}


def test_losses_against_rates_are_of_experiments_with_several(data):
    (group,) = data["rates"]
    assert group["label"] == "rates"
    tried = {
        (data["series"][i]["arm"], data["series"][i]["learning_rate"]) for i in group["series"]
    }
    assert len(tried) == len(group["series"]) / 2 == 4  # two schedules; arms and rates


def test_tasks_are_those_of_the_tuned_comparisons_and_their_pool(data):
    (quantity,) = data["tasks"]
    assert quantity["label"] == "epochs to a train loss of 0.2258"
    places = [(ratio["task"], ratio["inputs"]) for ratio in quantity["ratios"]]
    kinds = ("plain", "shifted", "stretched")
    of_tasks = [(task, inputs) for task in TASKS for inputs in kinds]
    assert sorted(places[:-2]) == of_tasks
    assert places[-2:] == [("the mean task", "all"), ("a new task", "all")]


def test_tables_have_all_rows_to_four_digits(tables, data):
    shown = data["tables"]["significance"]
    assert len(shown["rows"]) == len(tables["significance"]) > 20
    place = shown["columns"].index("ratio")
    for row, ratio in zip(shown["rows"], tables["significance"].ratio, strict=True):
        if np.isnan(ratio):
            assert row[place] is None
        else:
            assert row[place] == pytest.approx(ratio, rel=5e-4)
            assert len(f"{row[place]}".replace(".", "").strip("0")) <= 4


def test_of_runs_the_main_columns_are_shown_and_an_infinite_loss_as_a_text(study, tables):
    runs = tables["runs"].assign(final_test_loss=np.inf)
    shown = data_of(page_of(tables | {"runs": runs}, study))["tables"]["runs"]
    assert len(shown["rows"]) == len(runs) and len(shown["columns"]) < 20
    assert {"run_key", "seed", "epochs_to_0.2258"} < set(shown["columns"])
    assert {row[shown["columns"].index("final_test_loss")] for row in shown["rows"]} == {"inf"}


def test_whatever_an_experiment_is_called_is_shown_as_text(study, tables):
    named = tables["experiments"].assign(experiment=HOSTILE)
    page = page_of(tables | {"experiments": named}, study)
    assert HOSTILE not in page
    assert data_of(page)["curves"][0]["label"].startswith(HOSTILE)
    assert '<option value="0">&lt;/script&gt;&lt;b&gt;&amp;' in page


def test_a_study_without_runs_has_its_claims(study, tables):
    """As read from tables without rows: columns of floats."""
    empty = {name: table[:0].astype(float) for name, table in tables.items()}
    curves = tables["curves_thinned"][:0]
    whole = {"claims": tables["claims"], "significance": tables["significance"]}
    page = page_of(empty | whole | {"curves_thinned": curves}, study)
    assert data_of(page)["series"] == [] and "BN makes the model converge faster" in page
    assert 'id="rates"' not in page and 'id="curves"' not in page


def test_a_preview_says_so(tables, study, page):
    words = "This is a preview"
    preview = study.model_copy(update={"preview": True})
    assert words in page_of(tables, preview) and words not in page
