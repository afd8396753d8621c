"""Which parameters of TensorRT-LLM a test shows, against recorded signatures.

Shown is what arrives where the catalogue says, in an object that takes what the real
one was recorded to take: no real TensorRT-LLM was run.
"""

import ast
from pathlib import Path

from pytest_lem.engines.driven import TENSORRT, drives
from pytest_lem.spec import catalogue
from pytest_lem.spec.parameters.about import HARNESS

HERE = Path(__file__).parent


def proven():
    """The paths that `proves` marks and the table of cases name in this folder."""
    found = set()
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("proves"):
                found |= {ast.literal_eval(one) for one in node.args}
            elif (
                isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]) == "CASES"
                and isinstance(node.value, ast.Dict)
            ):
                found |= {ast.literal_eval(key) for key in node.value.keys}
    return found


def parameters():
    """Every parameter that reaches an object of TensorRT-LLM's, and the section's."""
    universal = (
        row
        for row in catalogue.rows(catalogue.UNIVERSAL)
        if row.targets.get("tensorrt", HARNESS) != HARNESS
    )
    return {row.path for row in (*universal, *catalogue.rows("tensorrt"))}


def test_nearly_every_parameter_reaches_the_recorded_objects():
    """At least 95 %, counted over the whole list."""
    paths, shown = parameters(), proven()
    left = sorted(paths - shown)
    share = 1 - len(left) / len(paths)
    print(f"{len(paths) - len(left)} of {len(paths)} parameters ({share:.1%})")
    print(*(f"not shown: {path}" for path in left), sep="\n")
    assert share >= 0.95, left


def test_marks_and_cases_name_parameters():
    """A name that is misspelt would count as nothing."""
    assert proven() <= parameters()


def test_what_is_shown_is_driven_and_what_is_driven_there():
    """No engine is said to obey what collection refuses, nor what nobody can say."""
    for path in proven():
        assert drives(path, TENSORRT, section="tensorrt"), path
    rows = {row.path.removeprefix("tensorrt.") for row in catalogue.rows("tensorrt")}
    assert rows | {"adapter"} == TENSORRT
