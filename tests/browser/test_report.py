"""The HTML report of a real run, opened from the disk in a real browser."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import expect

from tests.browser.checks import (
    check_accessible,
    check_charts,
    check_downloads,
    check_fits,
    check_prints,
    saved,
    scroll_through,
)

pytestmark = pytest.mark.slow

SUITE = """
import pytest

pytestmark = pytest.mark.lem(
    input_tokens=16, output_tokens=8, windows=1, warmup="fixed:2", cycles=2
)

@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_batch(lem, batch_size):
    lem()

@pytest.mark.lem(streaming=True, requests=4)
def test_stream(lem):
    lem()

@pytest.mark.lem(arrivals={"rate_rps": 200}, requests=40, batch_size=4, windows=1)
def test_traffic(lem):
    lem()
"""
INK = "(one) => getComputedStyle(one).fill"
FIRST = "Energy per output token against output throughput"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The address of the page of the embedded default on this machine's CPU."""
    pytest.importorskip("transformers")
    import os

    dev = os.environ.get("DEV_PAGE")
    if dev:
        return dev
    folder = tmp_path_factory.mktemp("run")
    (folder / "test_it.py").write_text(SUITE)
    options = ("--lem-html=r.html", "--lem-traces=traces", "--lem-save-stamps=stamps")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "test_it.py"]
    subprocess.run([*command, *options], cwd=folder, check=True, timeout=300)
    return (folder / "r.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_chart_has_data_and_no_barrier(report, open_page, scheme):
    """Of the overview, and of each experiment's details, in both colour schemes."""
    page = open_page(report, color_scheme=scheme)
    check_charts(page)
    check_accessible(page)
    for link in page.locator("#table tbody a").all()[::2]:
        link.click()
        page.wait_for_selector("#sections h3")
        check_charts(page)
    check_accessible(page)


def test_details_have_every_section(report, open_page):
    """Curves where requests were timed, lanes where meters were read."""
    page = open_page(report)
    page.locator("#table tbody a", has_text="test_traffic").click()
    page.wait_for_selector("#sections h3")
    heads = "#sections > section > h3, #sections > section > .chart-head > h3"
    titles = page.locator(heads).all_text_contents()
    assert titles == [
        *("Metrics", "Power over time", "Latency", "Arrival of requests", "Warm-up"),
        *("Memory", "Quality", "Cycles", "Settings", "Environment"),
        *("What is null, and why", "Record"),
    ]
    found = check_charts(page)
    assert {"Power, cycle 0", "Latency distributions", "Requests over time"} <= set(
        found
    )
    page.locator("summary", has_text="The record, as JSON").click()
    assert '"identity"' in page.locator("#sections pre").text_content()
    with page.expect_download() as waiting:
        page.get_by_label("Save the record as JSON").click()
    told = json.loads(Path(waiting.value.path()).read_text())
    assert told["id"].endswith("test_traffic[transformers]")


def test_text_and_facts_narrow_the_table_and_the_charts(report, open_page):
    """And clearing brings all back."""
    page = open_page(report)
    scroll_through(page)
    count, rows = page.locator("#count"), page.locator("#table tbody tr:visible")
    page.locator("#search").fill("test_batch")
    expect(count).to_have_text("3 of 5 experiments")
    expect(rows).to_have_count(3)
    page.locator("[data-facet=batch_size]").select_option("4")
    expect(count).to_have_text("1 of 5 experiments")
    drawn = page.evaluate(
        "[...document.querySelectorAll('.plot')].find((one) => one.data)"
        ".data.flatMap((one) => one.x).filter((one) => one !== null).length"
    )
    assert drawn == 1
    page.locator("button[type=reset]").click()
    expect(count).to_have_text("5 experiments")
    expect(rows).to_have_count(5)


def test_columns_sort_both_ways(report, open_page):
    """As numbers, which is told to screen readers."""
    page = open_page(report)
    head = page.locator("#table th", has_text="Output throughput").first
    place = head.evaluate("(one) => one.cellIndex + 1")
    cells = page.locator(f"#table tbody tr :nth-child({place})[data-v]")

    def told():
        return [float(one.get_attribute("data-v")) for one in cells.all()]

    head.locator("button").click()
    assert told() == sorted(told())
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()
    assert told() == sorted(told(), reverse=True)
    assert head.get_attribute("aria-sort") == "descending"


def test_a_link_leads_to_its_experiment(report, open_page):
    """From elsewhere, and back and forth in the page."""
    page = open_page(report)
    rows = page.locator("#table tbody tr")
    anchors = [one.get_attribute("id") for one in rows.all()]
    names = page.locator("#table tbody a").all_text_contents()
    other = open_page(f"{report}#{anchors[3]}")
    heading = other.locator("#details-heading")
    expect(heading).to_have_text(names[3])
    other.locator("#next").click()
    expect(heading).to_have_text(names[4])
    assert other.url.endswith(f"#{anchors[4]}")
    other.go_back()
    expect(heading).to_have_text(names[3])


def test_a_keyboard_is_enough(report, open_page):
    """To skip, sort, open an experiment and come back to where one was."""
    page = open_page(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#table th button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#table th").first.get_attribute("aria-sort") == "ascending"
    page.locator("#table tbody a").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#details-heading")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.locator("#close")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#table tbody a").nth(1)).to_be_focused()


def test_charts_are_saved_as_pictures_and_as_data(report, open_page):
    """Those of the overview, and those of details."""
    page = open_page(report)
    check_downloads(page, FIRST)
    page.locator("#table tbody a").first.click()
    page.wait_for_selector("#sections h3")
    check_downloads(page, "Power, cycle 0")
    text = saved(page, "Power, cycle 0", "csv").decode()
    assert text.splitlines()[0] == "what,start s,end s,W"


def test_a_phone_shows_all_without_scrolling_sideways(report, open_page):
    """390 x 844, with a finger."""
    page = open_page(report, width=390, height=844, is_mobile=True, has_touch=True)
    check_fits(page)
    page.locator("#table tbody a").first.click()
    page.wait_for_selector("#sections h3")
    check_fits(page)


def test_paper_has_the_page_and_its_charts(report, open_page):
    """Of a dark page in the light colours, which are as they were afterwards."""
    page = open_page(report, color_scheme="dark")
    scroll_through(page)
    before = page.locator("figure.chart .plot .xtitle").first.evaluate(INK)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("figure.chart .plot .xtitle").first.evaluate(INK) != before
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("figure.chart .plot .xtitle").first.evaluate(INK) == before
    check_prints(page)
    check_fits(page)
