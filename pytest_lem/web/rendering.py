"""Templates of the pages, and what the browser fetches for them from here."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from gzip import compress
from importlib.resources import files
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.report.html import assets
from pytest_lem.report.html.page import environment
from pytest_lem.report.html.words import title
from pytest_lem.report.results import local
from pytest_lem.report.services.figures import guess

_OWN = ("serve.css", "serve.js")
_KINDS = {"css": "text/css", "js": "text/javascript"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A style or script, and the same packed by gzip: one of them is large."""

    kind: str
    content: bytes
    packed: bytes


@cache
def templates() -> Environment:
    """Those of the report, and those that only a server has."""
    found = environment()
    own = PackageLoader("pytest_lem.web")
    assert found.loader is not None
    found.loader = ChoiceLoader([own, found.loader])
    found.filters |= {"metric": title, "local": local}
    found.globals |= {"METRICS": METRICS, "guess": guess}
    for kind in ("css", "js"):
        names = [name for name in fetched() if name.endswith(f".{kind}")]
        found.globals[f"{kind}_names"] = names
    return found


def page(template: str, *, status: int = 200, **told: Any) -> HTMLResponse:
    """A page of these values."""
    return HTMLResponse(templates().get_template(template).render(**told), status)


@cache
def fetched() -> Mapping[str, Fetched]:
    """Each style and script by its name, in the order of use."""
    found = [assets.plotly(), *assets.styles(), *assets.scripts()]
    texts = {one.name: one.text for one in found}
    own = files("pytest_lem.web") / "static"
    texts |= {name: (own / name).read_text(encoding="utf-8") for name in _OWN}
    return {
        name: Fetched(
            kind=_KINDS[name.rpartition(".")[2]],
            content=text.encode(),
            packed=compress(text.encode(), mtime=0),
        )
        for name, text in texts.items()
    }
