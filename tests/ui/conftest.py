"""The browser that the tests of pages share. Debian: apt-get install chromium."""

import shutil

import pytest
from playwright.sync_api import sync_playwright

OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def browser_path() -> str:
    """An installed Chromium."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.fail("these tests need a browser: install chromium (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path(), args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def open_file(browser):
    """Opens a page from disk; its `complaints` are what went wrong, or was asked of a network."""

    def open_file(path, width, address=""):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.complaints = []
        complain = page.complaints.append
        page.on("pageerror", lambda error: complain(str(error)))
        page.on("console", lambda said: said.type in ("error", "warning") and complain(said.text))
        page.on("request", lambda sent: sent.url.startswith(("http", "ws")) and complain(sent.url))
        page.goto(path.as_uri() + address)
        return page

    return open_file
