"""The `lem` command."""

from pytest_lem.cli import comparing, here, reports, settings
from pytest_lem.cli.app import app

__all__ = ["app", "comparing", "here", "main", "reports", "settings"]


def main() -> None:
    """Run the command."""
    app()
