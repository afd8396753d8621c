"""Help says what is valid: the words of the models, and nothing that is kept twice."""

import re

import pytest

from pytest_lem.front.options import OPTIONS
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.engine import DEFAULT_MODEL
from pytest_lem.spec.experiment import MARKER_KEYS
from pytest_lem.spec.presets import PRESETS
from pytest_lem.spec.workload import Workload
from pytest_lem.workload.models import synthetic_names


def plain(lines):
    """What was printed as one line, with hyphens that begin a line kept."""
    return " ".join(" ".join(lines).split())


def test_help_lists_the_names_and_keys_that_are_valid(pytester):
    """Every preset, model and marker key, each once it exists; no list is kept here."""
    keys = {*MARKER_KEYS} - {"backends"}
    text = plain(pytester.runpytest_inprocess("--help").outlines)
    for name in (*PRESETS, *synthetic_names(), *keys):
        assert re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text), name
    assert "known: transformers or pytorch" in text
    assert "decoder.top_p" in text


DEFAULTS = {
    option.name: found[1]
    for option in OPTIONS
    if (found := re.search(r"\(default: ([^)]+)\)$", option.help))
}


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_the_default_in_the_help_is_the_default(option):
    """Parsed as if it were typed."""
    if option.default in (None, ()):
        return
    said, _, _ = DEFAULTS[option.name].partition(", ")
    assert option.parse(said) == option.default


def test_defaults_that_a_model_has_too_are_the_same():
    """An experiment without any settings is that of the help."""
    effort = Effort()
    said = {option.name: option.default for option in OPTIONS}
    for name in ("cycles", "windows", "max_seconds", "timeout"):
        assert said[name.replace("_", "-")] == getattr(effort, name)
    assert said["warmup"] == str(effort.warmup)
    assert said["seed"] == Workload().seed
    assert DEFAULTS["model"] == DEFAULT_MODEL


def choices(option):
    """The words that an option takes, as it refuses another."""
    try:
        option.parse("§")
    except ValueError as error:
        found = re.match(r"is none of (.+)$", str(error))
        return found[1].split(", ") if found else []
    return []


@pytest.mark.parametrize(
    "option", [one for one in OPTIONS if choices(one)], ids=lambda one: one.name
)
def test_every_choice_is_in_the_help(option):
    """None that was added is forgotten."""
    for choice in choices(option):
        assert re.search(rf"\b{choice}\b", option.help), choice
