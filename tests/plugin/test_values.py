"""What the text of an option may be."""

import pytest

from pytest_lem.front.options.values import (
    THERMAL_TIMEOUT_S,
    assignment,
    names,
    number,
    one_of,
    thermal,
    truth,
    windows,
)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "1e999", "many", ""])
def test_a_limit_is_a_finite_number(text):
    """What no clock or meter can reach is no limit."""
    with pytest.raises(ValueError, match="is not a number of at least 0"):
        number(float, 0)(text)


def test_a_number_may_be_its_least_unless_it_must_be_above():
    """`at least` includes the bound, `above` does not; whole numbers have no limit."""
    assert number(float, 1)("1") == 1.0
    assert number(int, 0)("9" * 400) == int("9" * 400)
    with pytest.raises(ValueError, match="is not a number above 1"):
        number(float, 1, above=True)("1.0")
    with pytest.raises(ValueError, match="is not a number of at least 1"):
        number(int, 1)("1.5")


def test_windows_are_a_count_or_auto():
    """The error offers both."""
    assert (windows("auto"), windows("3")) == ("auto", 3)
    with pytest.raises(ValueError, match="at least 1, nor auto"):
        windows("0")


def test_names_are_separated_by_commas():
    """Blanks around them do not count, and there is at least one."""
    assert names(" a, b,") == ("a", "b")
    with pytest.raises(ValueError, match="names nothing"):
        names(" , ")


def test_one_of_tells_the_choices():
    """A word that is none of them is answered with all."""
    assert one_of("on", "off")("off") == "off"
    with pytest.raises(ValueError, match="is none of on, off"):
        one_of("on", "off")("maybe")


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("YES", True), ("1", True), ("no", False), ("False", False)],
)
def test_truth_is_written_in_several_ways(text, value):
    """As in configuration files of other tools."""
    assert truth(text) is value


def test_what_is_neither_true_nor_false_is_refused():
    """`--lem-strict=maybe` is a mistake."""
    with pytest.raises(ValueError, match="neither true nor false"):
        truth("maybe")


def test_an_assignment_has_a_key():
    """The value may be empty or hold another sign of equality."""
    assert assignment("a.b = c=d") == ("a.b", "c=d")
    for text in ("a", "=1"):
        with pytest.raises(ValueError, match="is not KEY=VALUE"):
            assignment(text)


def test_a_temperature_has_a_timeout_of_its_own_or_the_usual():
    """Both are above 0, and the error shows how they are written."""
    assert thermal("55") == (55.0, THERMAL_TIMEOUT_S)
    assert thermal("55.5,30") == (55.5, 30.0)
    assert thermal("stable") == (None, THERMAL_TIMEOUT_S)
    assert thermal("stable,30") == (None, 30.0)
    for text in ("", "0", "warm", "55,", "55,0", "55,30,1", ",30"):
        with pytest.raises(ValueError, match="write C or stable, or either,TIMEOUT"):
            thermal(text)
