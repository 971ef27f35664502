"""What a person sees: MLflow's pages of a small study in a real browser (Chromium, headless).

Run by `make test-ui`. Needs a Chromium on the PATH (Debian: apt-get install chromium).
"""

import socket
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from bnstudy.commands import ui
from bnstudy.tracking import views
from bnstudy.tracking.importer import MlflowClient
from tests.small_study import cell_of, make_study, track_study

pytestmark = pytest.mark.ui
PATIENCE = 60_000  # ms; a page takes a second or two
BATCH, NONE = cell_of("batch"), cell_of("none")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A tracked study."""
    folder = make_study(tmp_path_factory.mktemp("study"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        track_study(folder)
    return folder


@pytest.fixture(scope="module")
def address(study) -> str:
    """Where a server shows it."""
    with ui.serving("sqlite:///mlflow.db", study, free_port()) as (address, _):
        yield address


@pytest.fixture(scope="module")
def experiment(address) -> str:
    return MlflowClient(address).get_experiment_by_name("study").experiment_id


@pytest.fixture
def open_page(browser, address):
    """Opens a page of the server by its address below it."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)

    def open_page(link: str) -> Page:
        page = context.new_page()
        page.goto(f"{address}/{link}")
        return page

    yield open_page
    context.close()


def run_page(address: str, experiment: str, where: str) -> str:
    (run,) = MlflowClient(address).search_runs([experiment], where)
    return views.page(experiment, run.info.run_id)


def test_the_experiment_page_lists_parents_which_open_their_children(open_page, experiment):
    page = open_page(views.links(experiment)["start"])
    runs = page.locator(".ag-root-wrapper")
    for name in ("study", BATCH, NONE):
        expect(runs.get_by_role("link", name=name, exact=True)).to_be_visible()
    child = runs.get_by_role("link", name=f"{BATCH} s1000", exact=True)
    expect(child).to_have_count(0)
    parent = page.get_by_role("link", name=BATCH, exact=True)
    runs.locator(".ag-row").filter(has=parent).get_by_role("button").first.click()
    expect(child).to_be_visible()


def test_the_table_shows_the_arms_and_what_decides_between_them(open_page, experiment):
    page = open_page(views.links(experiment)["table"])
    for name in (BATCH, NONE):
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    expect(page.get_by_role("link", name=f"{BATCH} s1000", exact=True)).to_have_count(0)
    for column in ("final_test_loss", "test_loss_over_none"):
        expect(page.locator(f"[col-id='metrics.`{column}`'][role=columnheader]")).to_be_visible()


def test_the_menu_of_views_has_ours_and_opens_them(open_page, experiment):
    page = open_page(views.links(experiment)["start"])
    page.get_by_test_id("saved-views-trigger").click()
    items = page.locator("[data-testid^='saved-views-item-']")
    expect(items).to_have_text(list(views.NAMES.values()))
    items.filter(has_text=views.NAMES["study"]).click()
    runs = page.locator(".ag-root-wrapper")
    expect(runs.get_by_role("link", name="study", exact=True)).to_be_visible()
    expect(runs.get_by_role("link", name=BATCH, exact=True)).to_have_count(0)


def test_the_run_of_the_study_is_the_first_of_the_experiment_s_page(open_page, experiment):
    page = open_page(views.links(experiment)["start"])
    first = page.locator(".ag-root-wrapper .ag-row[row-index='0']").get_by_role("link").first
    expect(first).to_have_text("study")


def test_the_table_of_all_cells_shows_their_settings(open_page, experiment):
    page = open_page(views.links(experiment)["cells"])
    page.set_viewport_size({"width": 4000, "height": 900})  # columns out of sight are not there
    for name in (BATCH, NONE):
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    for column in ("learning_rate", "batch_size"):
        expect(page.locator(f"[col-id='params.`{column}`'][role=columnheader]")).to_be_visible()


def test_the_chart_compares_the_curves_of_both_arms(open_page, experiment):
    page = open_page(views.links(experiment)["chart"])
    charts = page.locator(".js-plotly-plot")
    expect(charts).to_have_count(2)  # test and train loss
    for chart in charts.all():
        lines = chart.locator(".scatterlayer .trace path.js-line")
        expect(lines.nth(1)).to_be_attached()
        colours = lines.evaluate_all("lines => lines.map(line => line.style.stroke)")
        assert len(set(colours)) == 2, "one colour per arm"
    for name in (BATCH, NONE):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()


def test_a_run_s_page_shows_its_note_and_its_curves(open_page, address, experiment):
    where = "tags.arm = 'batch' and tags.seed = '1000' and tags.level = 'seed'"
    page = open_page(run_page(address, experiment, where))
    expect(page.get_by_text("With BN (batch), width 4, seed 1000.")).to_be_visible()
    expect(page.get_by_text("final_test_loss", exact=True)).to_be_visible()
    page.get_by_role("tab", name="Model metrics").click()
    lines = page.locator(".js-plotly-plot .scatterlayer .trace path.js-line")
    expect(lines.first).to_be_visible()
    page.get_by_role("tab", name="Artifacts").click()
    expect(page.get_by_text("weights.safetensors").first).to_be_visible()


def test_a_parent_s_page_shows_its_note_and_its_figure(open_page, address, experiment):
    page = open_page(run_page(address, experiment, "tags.arm = 'batch' and tags.level = 'cell'"))
    expect(page.get_by_text("With BN (batch), width 4: 2 runs")).to_be_visible()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("curves.png").first.click()
    figure = page.locator("img[src*='curves.png'], img[src^='blob:']").first
    expect(figure).to_be_visible()
    expect(figure).not_to_have_js_property("naturalWidth", 0)
