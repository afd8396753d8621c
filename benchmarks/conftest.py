"""Campaigns run when they are named, as recipes do: they take hours on real models."""

from pathlib import Path


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Pass the folder by on the way through all benchmarks."""
    campaigns = Path(__file__).with_name("campaigns")
    return True if collection_path == campaigns else None
