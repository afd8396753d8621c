"""The JSON Schema of a report, made from the record's models.

`python -m pytest_lem.records.schema` prints it; the file beside this module holds
that text, for readers that have no Python.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pytest_lem.records.record import SCHEMA_VERSION, Record

PATH = Path(__file__).with_name(f"record-{SCHEMA_VERSION}.schema.json")


def schema() -> dict[str, Any]:
    """The schema of what is written: keys that are always there are required."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Record.model_json_schema(mode="serialization"),
        "title": f"pytest-lem report {SCHEMA_VERSION}",
    }


def text() -> str:
    """The schema as the file holds it; equal models give equal bytes."""
    return json.dumps(schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
