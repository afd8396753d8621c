"""An experiment as a file of its own, with all that it takes from others."""

from pathlib import Path

import yaml

from pytest_lem.spec.files.moving import moved
from pytest_lem.spec.files.points import Point
from pytest_lem.spec.provenance import merge


def written(point: Point, *, beside: Path, to: Path) -> str:
    """The text of a file in folder `to` that asks for what the point asks for.

    Files that it names stay where they are, beside the folder `beside`.
    """
    values = moved(merge(point.layers)[0], beside=beside, to=to)
    named = {"config_name": point.name, "backend": point.backend, **values}
    return yaml.safe_dump(named, sort_keys=False, allow_unicode=True)
