"""All that is told of one experiment, in sections that a browser renders on demand.

What is there: facts by name, tables, charts, and sentences; a section in which nothing
is known says why.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pytest_lem.report.html.sections.arrivals import arrivals
from pytest_lem.report.html.sections.facts import (
    cycles,
    environment,
    missing,
    settings,
)
from pytest_lem.report.html.sections.latency import latency
from pytest_lem.report.html.sections.memory import memory
from pytest_lem.report.html.sections.metrics import metrics
from pytest_lem.report.html.sections.quality import quality
from pytest_lem.report.html.sections.section import Section
from pytest_lem.report.html.sections.timeline import power
from pytest_lem.report.html.sections.warmup import warmup
from pytest_lem.report.html.view import Shown

SECTIONS: Sequence[Callable[[Shown], Section]] = (
    *(metrics, power, latency, arrivals, warmup, memory, quality),
    *(cycles, settings, environment, missing),
)


def details(shown: Shown) -> dict[str, Any]:
    """What the browser shows of an experiment, and its record as it is."""
    return {
        "anchor": shown.anchor,
        "name": shown.name,
        "sections": [build(shown).to_json() for build in SECTIONS],
        "record": shown.side.experiment.model_dump(mode="json"),
    }
