"""The JSON Schema that ships beside the models."""

import json
import subprocess
import sys
from importlib import resources

import jsonschema
import pytest

from pytest_lem.records.record import SCHEMA_VERSION
from pytest_lem.records.schema import PATH, schema, text


def test_the_shipped_file_is_what_the_models_say():
    """After a change: `python -m pytest_lem.records.schema` prints the new one."""
    assert PATH.read_text(encoding="utf-8") == text()


def test_the_file_is_part_of_the_package_and_named_by_its_version():
    """Readers find it without reading code."""
    name = f"record-{SCHEMA_VERSION}.schema.json"
    shipped = resources.files("pytest_lem.records").joinpath(name)
    assert json.loads(shipped.read_text(encoding="utf-8")) == schema()


def test_the_module_prints_it_the_same_in_every_process():
    """The text depends on nothing but the models."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest_lem.records.schema"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == text()


def test_it_is_a_valid_schema():
    """As its own draft defines one."""
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.fixture
def whole(make_cycle, make_window, make_record):
    """A report with a window, as plain JSON values."""
    cycle = make_cycle(windows=[make_window()], energy_gross_j=500.0)
    return json.loads(make_record([cycle]).model_dump_json())


def test_a_report_is_valid(whole):
    """What the models write, the schema accepts."""
    jsonschema.validate(whole, schema())


def test_groups_of_others_are_valid(whole):
    """Under `x_*` anything may stand."""
    whole["x_lab"] = whole["experiments"][0]["x_lab"] = {"room": 7}
    jsonschema.validate(whole, schema())


SPOILS = {
    "unknown key": lambda tree: tree.update(novel=1),
    "missing key": lambda tree: tree.pop("plan"),
    "no version": lambda tree: tree.pop("schema_version"),
    "other version": lambda tree: tree.update(schema_version="4.0"),
    "wrong type": lambda tree: tree["session"].update(seed="five"),
    "no such status": lambda tree: cycle_of(tree).update(status="odd"),
    "text for a number": lambda tree: cycle_of(tree)["metrics"].update(a="1"),
}


def cycle_of(tree):
    return tree["experiments"][0]["cycles"][0]


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_what_is_no_report_is_not_valid(whole, spoil):
    """Schema and models draw the same line."""
    spoil(whole)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(whole, schema())
