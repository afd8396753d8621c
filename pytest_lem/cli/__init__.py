"""The `lem` command."""

from pytest_lem.cli import comparing, here, merge, reports, results, settings
from pytest_lem.cli.app import app

__all__ = [
    "app",
    "comparing",
    "here",
    "main",
    "merge",
    "reports",
    "results",
    "settings",
]


def main() -> None:
    """Run the command."""
    app()
