"""What the pages show, as JSON."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from pytest_lem.analysis.metrics import HEADLINES
from pytest_lem.report.results import check_metrics
from pytest_lem.store.store import Store
from pytest_lem.store.wanted import Choices, Labelled, Page
from pytest_lem.web.asked import Listed
from pytest_lem.web.picking import Compared, against, picked, read_one
from pytest_lem.web.trends import Point, trends

api = APIRouter(prefix="/api")


def store_of(request: Request) -> Store:
    """The store that is shown."""
    found: Store = request.app.state.store
    return found


There = Annotated[Store, Depends(store_of)]
Keys = Annotated[
    list[str],
    Query(min_length=2, max_length=20, description="Keys; the first is the reference."),
]
Metrics = Annotated[
    Sequence[str], Query(max_length=20, description="Names of metrics.")
]


@api.get("/records")
def records(store: There, asked: Annotated[Listed, Query()]) -> Page:
    """Records page by page."""
    check_metrics(asked.metric)
    return store.page(
        asked.wanted(asked.limit), asked.metric, sort=asked.sort, after=asked.after
    )


@api.get("/records/{key}")
def record(store: There, key: str) -> Response:
    """One record, as a report of its session."""
    report = read_one(store, key)
    return Response(report.model_dump_json(), media_type="application/json")


@api.get("/choices")
def choices(store: There) -> Choices:
    """What records can be chosen by."""
    return store.choices()


@api.get("/labels")
def labels(store: There) -> list[Labelled]:
    """All labels, with how many sessions and records have each."""
    return store.labels()


@api.get("/compare")
def compare(store: There, key: Keys, metric: Metrics = HEADLINES) -> Sequence[Compared]:
    """Ratios of records to the first of them, and what differs."""
    check_metrics(metric)
    first, *others = picked(store, key).items()
    return [against(first, one, metric) for one in others]


@api.get("/trends")
def trend(
    store: There,
    identity: Annotated[Sequence[str], Query(min_length=1, max_length=10)],
    metric: str = HEADLINES[0],
) -> Sequence[Point]:
    """A metric over the sessions of experiments, with the limits of their gates."""
    check_metrics([metric])
    return trends(store, identity, metric)
