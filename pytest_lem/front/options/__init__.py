"""The options, each with its ini twin: one table, from which pytest learns them."""

from typing import Any

import pytest

from pytest_lem.front.options.cluster import CLUSTER_OPTIONS
from pytest_lem.front.options.effort import EFFORT_OPTIONS
from pytest_lem.front.options.gate import GATE_OPTIONS
from pytest_lem.front.options.ini import INI_OPTIONS
from pytest_lem.front.options.meters import METERS_OPTIONS
from pytest_lem.front.options.passes import PASSES_OPTIONS
from pytest_lem.front.options.plan import PLAN_OPTIONS
from pytest_lem.front.options.quality import QUALITY_OPTIONS
from pytest_lem.front.options.results import RESULTS_OPTIONS
from pytest_lem.front.options.schedule import SCHEDULE_OPTIONS
from pytest_lem.front.options.statistics import STATISTICS_OPTIONS
from pytest_lem.front.options.sweep import SWEEP_OPTIONS
from pytest_lem.front.options.values import Option, truth
from pytest_lem.front.options.what import WHAT_OPTIONS
from pytest_lem.front.options.where import WHERE_OPTIONS

OPTIONS: tuple[Option, ...] = (
    *WHAT_OPTIONS,
    *EFFORT_OPTIONS,
    *SCHEDULE_OPTIONS,
    *METERS_OPTIONS,
    *PASSES_OPTIONS,
    *QUALITY_OPTIONS,
    *WHERE_OPTIONS,
    *CLUSTER_OPTIONS,
    *RESULTS_OPTIONS,
    *PLAN_OPTIONS,
    *STATISTICS_OPTIONS,
    *GATE_OPTIONS,
    *SWEEP_OPTIONS,
    *INI_OPTIONS,
)


def add_options(parser: pytest.Parser) -> None:
    """Add the option group and the ini twins."""
    group = parser.getgroup("lem", "energy and performance of LLM inference")
    for option in OPTIONS:
        parser.addini(option.dest, option.help, default=None)
        if option.ini_only:
            continue
        extra: dict[str, Any] = {"action": "store", "metavar": option.metavar}
        if option.parse is truth:
            extra = {"action": "store_const", "const": "true"}
        elif option.bare is not None:
            extra |= {"nargs": "?", "const": option.bare}
        elif option.many:
            extra = {"action": "append", "metavar": option.metavar}
        group.addoption(
            option.flag, dest=option.dest, default=None, help=option.help, **extra
        )
