"""A page of records whose every text wants to be more than text."""

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import expect

from pytest_lem.report.html.page import write_report
from tests.browser.checks import check_accessible, check_charts, check_fits, saved
from tests.report.html.hostile import ATTACKS, hostile

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page_of(tmp_path_factory):
    """The address of the page of the hostile report."""
    path = tmp_path_factory.mktemp("hostile") / "r.html"
    write_report(hostile(), path)
    return path.as_uri()


def test_what_is_told_stays_text(page_of, open_page):
    """No dialog, no request, no element of theirs, in the overview and in details."""
    page = open_page(page_of)
    check_charts(page)
    links = page.locator("#table tbody a")
    assert links.count() == len(ATTACKS)
    for link in links.all():
        link.click()
        page.wait_for_selector("#sections h3")
        for folded in page.locator("#sections details > summary").all():
            folded.click()
        check_charts(page)
        planted = "#sections img, #sections script, [href^=javascript], [onerror]"
        assert page.locator(planted).count() == 0
    assert page.evaluate("window.attacked") is None
    check_fits(page)


def test_barriers_do_not_come_with_it(page_of, open_page):
    """Long names and strange letters leave the page as accessible as it was."""
    page = open_page(page_of)
    check_charts(page)
    check_accessible(page)


def test_search_finds_text_that_looks_like_code(page_of, open_page):
    """By what is written."""
    page = open_page(page_of)
    page.locator("#search").fill("<script>")
    expect(page.locator("#count")).to_have_text(f"2 of {len(ATTACKS)} experiments")


def test_data_that_is_saved_runs_nothing_in_a_spreadsheet(page_of, open_page):
    """What begins like a formula has a quote before it."""
    page = open_page(page_of)
    for name in check_charts(page):
        for line in saved(page, name, "csv").decode().splitlines():
            assert not line.startswith(("=", "@", "+cmd", "-cmd"))
            assert ",=" not in line
