"""The explorer in a real browser, from disk and without a network, on a screen and on a phone."""

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from bnstudy.config.models import Study
from bnstudy.report import explorer
from tests.unit.made_up import TASKS, explorer_tables

pytestmark = pytest.mark.ui
HOSTILE = "<img src=x onerror='window.hacked = 1'>"  # the name of an experiment


@pytest.fixture(scope="module")
def tables(_config):
    analysis = _config["analysis"] | {"permutations": 999, "bootstraps": 999}
    made = explorer_tables(Study.from_config(_config | {"analysis": analysis}))
    named = made["experiments"].replace({"experiment": {"grid": HOSTILE}})
    return made | {"experiments": named, "runs": pd.concat([made["runs"]] * 3)}


@pytest.fixture(scope="module")
def file(tables, _config, tmp_path_factory):
    study = Study.from_config(_config)
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    path.write_text(explorer.page(tables, explorer.TEMPLATE.read_text(), study))
    return path


@pytest.fixture(scope="module", params=[1280, 400])
def page(request, file, open_file) -> Page:
    """The page on a screen and on a phone."""
    page = open_file(file, request.param)
    for chart in ("evidence", "rates", "curves", "tasks"):
        dots(page, chart).first.wait_for()
    return page


# What a chart draws: where its marks are, and their shapes.
DRAWN = """chart => JSON.stringify(
  [...document.querySelectorAll(`#${chart}-chart svg .role-mark path`)]
    .map(mark => [mark.getAttribute("transform"), mark.getAttribute("d")]))"""


def drawn(page, chart: str) -> str:
    return page.evaluate(DRAWN, chart)


def wait_for_other(page, chart: str, before: str) -> None:
    """Wait until the chart draws something else than `before`."""
    other = f"([chart, before]) => ({DRAWN})(chart) !== before"
    page.wait_for_function(other, arg=[chart, before])


def texts(page, chart: str, part: str) -> list[str]:
    """The labels of a chart's axes, or of its legends."""
    return page.locator(f"#{chart}-chart svg .role-{part}-label text").all_text_contents()


def dots(page, chart: str):
    return page.locator(f"#{chart}-chart svg .mark-symbol.role-mark path")


def rows(page):
    return page.locator("#table tbody tr:visible")


def test_it_fits_the_screen(page):
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]
    for chart in page.locator(".chart svg").all():
        assert chart.bounding_box()["width"] > 0.8 * (page.viewport_size["width"] - 60)


def test_a_verdict_is_a_word(page, tables):
    words = page.locator("a.cell strong").all_inner_texts()
    assert sorted(words) == sorted(tables["claims"].verdict)


def test_a_cell_of_the_matrix_leads_to_its_evidence(page, tables):
    tests = tables["significance"].query("role == 'primary' and claim == 'C5'")
    sentence = page.locator("#evidence").get_by_text(tests.sentence.iloc[0])
    expect(sentence).to_be_hidden()
    before = drawn(page, "evidence")
    page.locator("a.cell", has_text="convolutional over dense").click()
    expect(sentence).to_be_visible()
    expect(page.locator("#evidence article:visible")).to_have_count(1)
    wait_for_other(page, "evidence", before)
    expect(dots(page, "evidence")).to_have_count(len(tests))
    assert page.url.endswith("#C5-tuned")


def test_the_address_of_a_cell_opens_its_evidence(file, open_file):
    page = open_file(file, 1280, address="#C5-tuned")
    expect(page.locator("#C5-tuned")).to_be_in_viewport()


def test_the_slider_moves_the_picture_and_not_its_axes(page):
    slider, epochs = page.locator("#rates-epoch"), page.locator("#rates-epochs")
    expect(epochs).to_have_text("50")
    last, axes = drawn(page, "rates"), texts(page, "rates", "axis")
    slider.press("Home")
    expect(epochs).to_have_text("1")
    wait_for_other(page, "rates", last)
    first = drawn(page, "rates")
    assert texts(page, "rates", "axis") == axes
    slider.press("End")
    expect(epochs).to_have_text("50")
    wait_for_other(page, "rates", first)
    assert drawn(page, "rates") == last


def test_the_curves_of_any_cell_are_shown_arms_side_by_side(page):
    choice = page.locator("#curves-group")
    # widths; rates and schedules; objectives; tasks and inputs
    expect(choice.locator("option")).to_have_count(2 + 2 * 2 + 3 + 3 * len(TASKS))
    for label in (f"{HOSTILE}: width 300", "tuned: tuned for final_test_loss"):
        before = drawn(page, "curves")
        choice.select_option(label=label)
        wait_for_other(page, "curves", before)
        assert set(texts(page, "curves", "legend")) == {"with BN", "without BN"}
    expect(page.locator("#curves-notes")).to_contain_text("without BN: learning rate 0.3")


@pytest.mark.parametrize("chart", ["rates", "curves"])
def test_the_train_loss_can_be_shown(page, chart):
    before = drawn(page, chart)
    page.locator(f"#{chart}-loss").select_option("train")
    wait_for_other(page, chart, before)


def test_tasks_are_shown_by_kind_of_inputs(page):
    assert {*TASKS, "the mean task", "a new task"} <= set(texts(page, "tasks", "axis"))
    assert {"plain", "shifted", "stretched"} < set(texts(page, "tasks", "legend"))
    expect(dots(page, "tasks")).to_have_count(3 * len(TASKS) + 2)


def test_every_table_is_there_with_all_its_rows(page, tables):
    for name in ("significance", "claims", "runs"):
        page.locator("#table-name").select_option(name)
        count = len(tables[name])
        expect(page.locator("#table-count")).to_have_text(f"{count} of {count} rows")
        while rows(page).count() < count:  # those of a long table come as one scrolls
            before = rows(page).count()
            rows(page).last.scroll_into_view_if_needed()
            expect(rows(page)).not_to_have_count(before)
        expect(rows(page)).to_have_count(count)


def test_a_search_leaves_the_rows_with_all_its_words(page, tables):
    page.locator("#table-name").select_option("significance")
    tests = tables["significance"]
    page.locator("#table-search").fill("C1 minibatches")
    found = int((tests.claim.eq("C1") & tests.regime.eq("minibatches")).sum())
    expect(rows(page)).to_have_count(found)
    expect(page.locator("#table-count")).to_have_text(f"{found} of {len(tests)} rows")
    page.locator("#table-search").fill("")
    expect(rows(page)).to_have_count(len(tests))


def test_a_name_is_a_text(page):
    option = page.locator("#curves-group option", has_text=HOSTILE)
    assert option.first.inner_text() == f"{HOSTILE}: width 100"
    assert page.evaluate("window.hacked") is None


def test_nothing_went_wrong_and_no_network_was_asked(page):
    assert page.complaints == []
