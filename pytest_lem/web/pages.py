"""The pages: records, reports of them, some against each other, trends, labels."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse

from pytest_lem.analysis.metrics import HEADLINES, METRICS
from pytest_lem.errors import ConfigError
from pytest_lem.gate.side import Side
from pytest_lem.report import compare as comparing
from pytest_lem.report import diff
from pytest_lem.report.html import assets
from pytest_lem.report.html.charts import history
from pytest_lem.report.html.packing import packed
from pytest_lem.report.html.page import context
from pytest_lem.report.html.view import Source, experiments
from pytest_lem.report.results import check_metrics
from pytest_lem.store.wanted import Wanted
from pytest_lem.web.api import Metrics, There
from pytest_lem.web.asked import MOST, Chosen, Listed, Picked
from pytest_lem.web.picking import against, picked
from pytest_lem.web.rendering import fetched, page
from pytest_lem.web.trends import trends

pages = APIRouter(include_in_schema=False)

COMPARED = (*HEADLINES, "ttft_p50_ms", "itl_p50_ms", "e2e_p50_ms", "avg_power_w")

Keys = Annotated[Sequence[str], Query(max_length=20)]


@pages.get("/")
def listed(
    request: Request, store: There, asked: Annotated[Listed, Query()]
) -> HTMLResponse:
    """The records, page by page."""
    check_metrics(asked.metric)
    found = store.page(
        asked.wanted(asked.limit), asked.metric, sort=asked.sort, after=asked.after
    )
    chosen = {
        name: value
        for name in Chosen.model_fields
        if (value := getattr(asked, name)) is not None
    }

    def link(**changed: str | None) -> str:
        """The address of the same list otherwise; from its first page on."""
        told = {**chosen, "sort": asked.sort, "metric": asked.metric, **changed}
        kept = {key: value for key, value in told.items() if value is not None}
        return "/?" + urlencode(kept, doseq=True)

    return page(
        "records.html",
        heading="Records",
        found=found,
        asked=asked,
        chosen=chosen,
        choices=request.app.state.lately.choices,
        metrics=asked.metric,
        link=link,
    )


@pages.get("/report")
def report(store: There, asked: Annotated[Picked, Query()]) -> HTMLResponse:
    """Records, each with all its details, as `lem report` writes them."""
    wanted = replace(asked.wanted(MOST), keys=asked.key)
    shown = experiments([Source(record=one) for one in store.reports(wanted)])
    if not shown:
        raise HTTPException(404, "no records there that are wanted")
    name = shown[0].name if len(shown) == 1 else f"{len(shown)} records"
    return page(
        "one_report.html",
        **context(shown, heading=name),
        packed=packed(shown),
    )


@pages.get("/compare")
def compare(
    store: There, key: Keys = (), first: str | None = None, metric: Metrics = COMPARED
) -> HTMLResponse:
    """Records against the oldest of them, or against the one that is to be first."""
    check_metrics(metric)
    sides = dict(sorted(picked(store, key).items(), key=lambda one: _begun(one[1])))
    reference = first if first in sides else next(iter(sides))
    sides = {reference: sides[reference], **sides}
    mine, *others = sides.items()
    return page(
        "compare.html",
        heading="Compared",
        sides=sides,
        first=reference,
        compared=[against(mine, one, metric) for one in others],
        metrics=[one for one in metric if any(s.values(one) for s in sides.values())],
        verdict=comparing.verdict,
        titles=diff.TITLES,
    )


def _begun(side: Side) -> datetime:
    return datetime.fromisoformat(side.session.started_at)


@pages.get("/trends")
def trend(
    store: There,
    identity: Annotated[Sequence[str], Query(max_length=10)] = (),
    key: Keys = (),
    metric: str = HEADLINES[0],
) -> HTMLResponse:
    """A metric over the sessions of experiments."""
    check_metrics([metric])
    wanted = [*identity]
    if key:
        wanted += [one.identity for one in store.find(Wanted(keys=key))]
    wanted = [*dict.fromkeys(wanted)]
    if not wanted:
        raise ConfigError("trends of what? tick records in the list first")
    points = trends(store, wanted, metric)
    chart = history.chart([one.measured(metric) for one in points], metric)
    drawn = [chart.to_json()] if chart.drawn else []
    return page(
        "trends.html",
        heading=chart.title,
        charts=[chart],
        points=points,
        metric=metric,
        metrics=METRICS,
        identities=wanted,
        data=assets.as_json({"charts": drawn}),
    )


@pages.get("/labels")
def labels(store: There) -> HTMLResponse:
    """What records are called."""
    return page("labels.html", heading="Labels", labels=store.labels())


@pages.get("/assets/{name}")
def asset(request: Request, name: str) -> Response:
    """A style or script."""
    found = fetched().get(name)
    if found is None:
        raise HTTPException(404, f"no asset is called {name!r}")
    headers = {"Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(found.content, headers=headers, media_type=found.kind)
    headers["Content-Encoding"] = "gzip"
    return Response(found.packed, headers=headers, media_type=found.kind)
