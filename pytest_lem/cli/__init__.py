"""The `lem` command."""

from pytest_lem.cli import (
    aggregate,
    analysing,
    cluster,
    comparing,
    exporting,
    here,
    labels,
    merge,
    migrate,
    page,
    quality,
    reports,
    results,
    scheduling,
    serving,
    settings,
    turns,
)
from pytest_lem.cli.app import app

__all__ = [
    "aggregate",
    "analysing",
    "app",
    "cluster",
    "comparing",
    "exporting",
    "here",
    "labels",
    "main",
    "merge",
    "migrate",
    "page",
    "quality",
    "reports",
    "results",
    "scheduling",
    "serving",
    "settings",
    "turns",
]


def main() -> None:
    """Run the command."""
    app()
