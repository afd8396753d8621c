"""Which parameters of TensorRT-LLM a test shows, against recorded signatures.

Shown is what arrives where the catalogue says, in an object that takes what the real
one was recorded to take: no real TensorRT-LLM was run.
"""

import ast
from pathlib import Path

from pytest_lem.engines.driven import TENSORRT
from pytest_lem.spec import catalogue
from tests.engines.coverage import Coverage


def cases(name, table):
    """The paths of the table of cases: its keys."""
    if name != "CASES" or not isinstance(table, ast.Dict):
        return []
    return [ast.literal_eval(key) for key in table.keys]


COVERAGE = Coverage(
    backend="tensorrt", folder=Path(__file__).parent, driven=TENSORRT, cases=cases
)


def test_nearly_every_parameter_reaches_the_recorded_objects():
    """At least 95 %, counted over the whole list."""
    COVERAGE.check_share(0.95)


def test_marks_and_cases_name_parameters():
    """A name that is misspelt would count as nothing."""
    COVERAGE.check_names()


def test_what_is_shown_is_driven_and_what_is_driven_there():
    """No engine is said to obey what collection refuses, nor what nobody can say."""
    COVERAGE.check_driven()
    rows = {row.path.removeprefix("tensorrt.") for row in catalogue.rows("tensorrt")}
    assert rows | {"adapter"} == TENSORRT
