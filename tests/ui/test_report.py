"""The report in a real browser, from disk and without a network: all it holds can be seen.

Tables are in the explorer.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from bnstudy.config import members

pytestmark = pytest.mark.ui

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a tiny study, made as `make` does."""
    folder = tmp_path_factory.mktemp("study")
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", folder]
    command += ["--snakefile", ROOT / "Snakefile", "--configfile", ROOT / "tests/config.yaml"]
    command += [
        "--config",
        "default_experiments=[original, grid, depth, digits]",
        "mlflow={enabled: false}",
    ]
    for options in ([], ["--report", "results/report.html"]):
        result = subprocess.run(
            [*command, *options], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr[-3000:]
    return folder / "results" / "report.html"


@pytest.fixture(scope="module")
def page(report, open_file):
    """The opened report."""
    return open_file(report, width=1300)


def made(report: Path, folder: str, suffix: str) -> list[str]:
    """The names of the study's files of a kind."""
    return sorted(path.stem for path in (report.parent / folder).glob(f"*{suffix}"))


def shown(page, category):
    """Open each result of a category in turn; yields the report's view of it."""
    page.goto(page.url.split("#")[0])
    page.get_by_role("link", name=category, exact=True).click()
    eyes = page.locator("a[iconname=eye]")
    eyes.first.wait_for()
    for index in range(eyes.count()):
        eyes.nth(index).click()
        yield page


def test_it_says_what_it_is_about(page):
    page.get_by_text("Begin with").wait_for()
    assert "trained on 7 seeds" in page.inner_text("#app")


def test_every_figure_is_displayed_and_has_its_caption(report, page):
    count = 0
    for view in shown(page, "Figures"):
        image = view.locator("#app img:not([src*='logo.svg'])")
        image.wait_for()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        assert image.bounding_box()["width"] > 100
        count += 1
    figures = made(report, "figures", ".svg")
    assert count == len(figures) > 5
    captions = page.evaluate("Object.values(results).map(r => r.caption ?? '').join(' ')")
    for name in figures:
        assert members.declared("figures", name)["TITLE"] in captions


def test_the_claims_are_shown_with_their_figures(page):
    (view,) = shown(page, "Claims")
    frame = view.frame_locator("iframe")
    frame.get_by_role("heading", name="The article's claims").wait_for()
    assert frame.locator("h2").count() == 6  # one per claim, and the sensitivity
    images = frame.locator("img")
    assert images.count() == 5
    for index in range(5):
        assert images.nth(index).evaluate("image => image.naturalWidth") > 100


def test_the_paper_is_in_it(page):
    (view,) = shown(page, "Paper")
    assert (
        view.locator("[src^='data:application/pdf'], [data^='data:application/pdf']").count() == 1
    )


def test_it_has_run_times(page):
    page.goto(page.url.split("#")[0])
    page.get_by_role("link", name="Statistics", exact=True).click()
    page.locator("canvas, svg.marks").first.wait_for()


def test_it_needed_no_network_and_nothing_went_wrong(page):
    for category in ("Claims", "Figures", "Paper"):
        for view in shown(page, category):
            view.wait_for_timeout(200)
    assert page.complaints == []
