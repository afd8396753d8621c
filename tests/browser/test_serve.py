"""The pages of `lem serve` in a real browser."""

import re

import pytest

pytest.importorskip("playwright")
pytest.importorskip("fastapi")
pytest.importorskip("sqlalchemy")

from playwright.sync_api import expect

from pytest_lem.store.opening import open_store
from pytest_lem.store.place import parse_place
from pytest_lem.store.wanted import Wanted
from tests.browser.checks import (
    check_accessible,
    check_charts,
    check_downloads,
    check_fits,
    check_prints,
)
from tests.store.making import SPEED, cycle, report
from tests.web.serving import served

pytestmark = pytest.mark.slow

HOSTILE = "t.py::<script>alert(1)</script>[\"'><img src=x onerror=alert(2)>]"
SESSIONS = 30


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Where a store of thirty nights is shown, the latest with hostile names."""
    folder = tmp_path_factory.mktemp("served")
    store = open_store(parse_place("results.db", folder), create=True)
    for night in range(1, SESSIONS + 1):
        day = f"2026-01-{night:02d}"
        ran = [cycle(k, day=day, speed=40.0 + night) for k in range(3)]
        names = ["t.py::test_it[1]", "t.py::test_it[8]"]
        store.put(report(f"night-{night}", names, cycles=ran, day=day))
    bad = "<script>alert(3)</script>"
    store.put(report(bad, [HOSTILE], day="2026-02-01", model=bad, gpu=bad, backend=bad))
    store.label([one.key for one in store.find(Wanted(limit=3))], '"><b>main')
    store.close()
    with served(f"--store={folder / 'results.db'}") as (_, _, url):
        yield url


def tick(page, *places):
    """Pick records of the list by their rows."""
    for place in places:
        page.locator("#records [name=key]").nth(place).check()


def test_records_are_searched_sorted_and_paged_by_hand(server, open_page):
    """By the keyboard as well; the address has what was chosen."""
    page = open_page(server)
    status = page.get_by_role("status")
    expect(status).to_have_text("61 records")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("#records tbody tr")).to_have_count(11)
    page.get_by_label("Search").fill("test_it[8] NIGHT-2")
    page.keyboard.press("Enter")
    expect(status).to_have_text("11 records")
    page.get_by_role("link", name="Output throughput").click()
    expect(status).to_have_text("11 records with Output throughput")
    expect(page.locator("#records tbody tr").first).to_contain_text("night-29")
    page.get_by_role("link", name="Output throughput").click()
    expect(page.locator("#records tbody tr").first).to_contain_text("night-2")
    page.get_by_label("label").select_option('"><b>main')
    page.get_by_role("button", name="Search").click()
    expect(status).to_have_text("0 records with Output throughput")
    page.get_by_role("link", name="Clear").click()
    expect(status).to_have_text("61 records")


def test_records_that_are_ticked_are_compared(server, open_page):
    """Each over the oldest or another, with a word on what that says."""
    page = open_page(f"{server}?text=test_it%5B1%5D")
    tick(page, 0, 9)
    page.get_by_role("button", name="Compare ticked").click()
    cells = page.locator("#ratios tbody tr", has_text="Output throughput").locator("td")
    expect(cells.nth(1)).to_contain_text("better")
    expect(page.get_by_role("heading", level=2)).to_contain_text("night-30")
    page.get_by_role("link", name="over this one").click()
    expect(cells.nth(1)).to_contain_text("worse")
    expect(page.get_by_role("heading", level=2)).to_contain_text("night-21")
    check_accessible(page)


def test_a_trend_is_drawn_and_saved(server, open_page):
    """Of a metric that is chosen, with a table of its sessions."""
    page = open_page(f"{server}?text=test_it%5B1%5D")
    tick(page, 0)
    page.get_by_role("button", name="Trends of ticked").click()
    page.locator("select[name=metric]").select_option(SPEED)
    page.get_by_role("button", name="Show").click()
    found = check_charts(page)
    assert found["Output throughput over sessions"]["points"] == 2 * SESSIONS
    expect(page.locator("#sessions tbody tr")).to_have_count(2 * SESSIONS + 1)
    check_downloads(page, "Output throughput over sessions")
    check_accessible(page)


def test_a_record_is_shown_as_a_report_with_details(server, open_page):
    """The page of `lem report`, with its parts fetched from the server."""
    page = open_page(f"{server}?text=test_it%5B1%5D")
    tick(page, 0, 1)
    page.get_by_role("button", name="Show ticked").click()
    check_charts(page)
    page.locator("#table tbody a").first.click()
    expect(page.locator("#details-heading")).to_contain_text("test_it[1]")
    page.get_by_text("The record, as JSON").click()
    expect(page.locator("pre")).to_contain_text('"identity": "0123456789abcdef"')
    check_prints(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_for_everybody(server, open_page, scheme):
    """By axe-core, on a wide screen and on a phone; hostile names are text."""
    for width in (1280, 390):
        page = open_page(server, width=width, color_scheme=scheme)
        expect(page.locator("#records")).to_contain_text("<script>alert(1)</script>")
        check_accessible(page)
        check_fits(page)
        page.get_by_role("link", name="Labels").click()
        expect(page.locator("#labels")).to_contain_text('"><b>main')
        check_accessible(page)
        page.goto(server)
        page.locator("#records tbody th a").first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(
            re.compile(r"<script>alert\(1\)</script>")
        )
        check_fits(page)


def test_a_token_is_asked_once(tmp_path, open_page):
    """It is no part of the address afterwards."""
    token = "0123456789abcdef"
    store = open_store(parse_place("results.db", tmp_path), create=True)
    store.put(report("s"))
    store.close()
    place = f"--store={tmp_path / 'results.db'}"
    with served(place, f"--token={token}") as (_, _, url):
        page = open_page(f"{url}?token={token}")
        expect(page.get_by_role("status")).to_have_text("1 record")
        assert page.url == url
        page.get_by_role("link", name="Labels").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Labels")
