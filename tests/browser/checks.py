"""What holds of every page of ours, wherever it came from."""

import csv
import io
import re
from pathlib import Path
from urllib.parse import urlsplit

SERIOUS = ("serious", "critical")
_POINTS = """
() => [...document.querySelectorAll("figure.chart")].map((place) => {
  const plot = place.querySelector(".plot");
  const data = (plot && plot.data) || [];
  const of = (trace) => (trace.z || trace.y || trace.x || trace.values || []).length;
  return {
    name: place.querySelector(".chart-head").firstElementChild.textContent,
    traces: data.length,
    points: data.reduce((sum, trace) => sum + of(trace), 0),
    axes: [...place.querySelectorAll(".xtitle, .ytitle")].map((one) => one.textContent),
    told: plot ? plot.getAttribute("aria-label") : "",
  };
})
"""
_SCROLL = """
async () => {
  const pause = () => new Promise((done) => setTimeout(done, 20));
  for (let y = 0; y < document.body.scrollHeight; y += 400) {
    scrollTo(0, y);
    await pause();
  }
  for (const place of document.querySelectorAll("figure.chart")) {
    if (!place.offsetParent) continue;
    place.scrollIntoView({ behavior: "instant", block: "center" });
    const until = Date.now() + 10000;
    while (!place.querySelector(".plot").data && Date.now() < until) await pause();
  }
}
"""
_WIDTHS = (
    "[document.scrollingElement.scrollWidth, document.documentElement.clientWidth]"
)


class Watched:
    """A page, and what it should not have done."""

    def __init__(self, page, url):
        self.page = page
        self.complaints = []
        self._home = urlsplit(url)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._note("error", str(error)))
        page.on("dialog", self._dialog)
        page.on("request", self._request)

    def _note(self, kind, text):
        self.complaints.append(f"{kind}: {text[:500]}")

    def _console(self, message):
        if message.type in ("error", "warning"):
            self._note(message.type, message.text)

    def _dialog(self, dialog):
        self._note("dialog", dialog.message)
        dialog.dismiss()

    def _request(self, request):
        to = urlsplit(request.url)
        if to.scheme in ("data", "blob"):
            return
        if (to.scheme, to.netloc) != (self._home.scheme, self._home.netloc) or (
            to.scheme == "file" and to.path != self._home.path
        ):
            self._note("request", request.url)


def scroll_through(page):
    """Bring every part into view, as a reader would, so that all charts are drawn."""
    page.evaluate(_SCROLL)


def charts(page):
    """Each chart: its name, how many traces and points it has, its axes' titles."""
    scroll_through(page)
    return page.evaluate(_POINTS)


def check_charts(page):
    """Every chart has data, a unit or name on each axis, and a sentence; by name."""
    found = charts(page)
    assert found
    for one in found:
        assert one["traces"] > 0, one
        assert one["points"] > 0, one
        assert one["axes"], one
        assert one["told"], one
    return {one["name"]: one for one in found}


def check_accessible(page):
    """axe-core finds no serious and no critical fault."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    faults = [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in SERIOUS
    ]
    assert faults == []


def check_fits(page):
    """Nothing scrolls sideways but what is made to."""
    scroll_through(page)
    wide, have = page.evaluate(_WIDTHS)
    assert wide <= have


def saved(page, chart, kind):
    """What the button of a chart gives: its bytes."""
    button = page.locator("figure.chart", has_text=chart).first.locator(
        f'[data-save="{kind}"]'
    )
    with page.expect_download() as waiting:
        button.click()
    return Path(waiting.value.path()).read_bytes()


def check_downloads(page, chart):
    """A chart comes as SVG and PNG, and its data as CSV with as many cells a row."""
    assert saved(page, chart, "svg").lstrip().startswith(b"<svg")
    assert saved(page, chart, "png").startswith(b"\x89PNG")
    rows = list(csv.reader(io.StringIO(saved(page, chart, "csv").decode())))
    assert len(rows) > 1
    assert {len(row) for row in rows} == {len(rows[0])}


def check_prints(page):
    """Paper has the page, charts included: some pages of it, not blank."""
    paper = page.pdf()
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) >= 1
    assert len(paper) > 20_000
