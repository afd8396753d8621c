"""A real Chromium, and pages in it that are watched."""

import os
import shutil

import pytest

from tests.browser.checks import Watched

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def chromium():
    """Chromium as the system has it, headless; `LEM_CHROMIUM` may name another."""
    api = pytest.importorskip("playwright.sync_api")
    pytest.importorskip("axe_playwright_python")
    named = [os.environ.get("LEM_CHROMIUM"), *map(shutil.which, NAMES)]
    found = next(filter(None, named), None)
    if found is None:
        pytest.skip(f"no Chromium is installed (none of {', '.join(NAMES)})")
    with api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Open an address in a window of its own, in which nothing may go wrong."""
    opened = []

    def make(url, *, width=1280, height=900, **more):
        size = {"width": width, "height": height}
        context = chromium.new_context(viewport=size, accept_downloads=True, **more)
        watched = Watched(context.new_page(), url)
        opened.append((context, watched))
        watched.page.goto(url)
        return watched.page

    yield make
    for context, watched in opened:
        context.close()
        assert watched.complaints == []
