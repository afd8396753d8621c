"""The page of messages has those that the code has."""

import ast
from functools import cache
from pathlib import Path

import pytest

import pytest_lem

PAGE = Path(__file__).parents[1] / "docs" / "troubleshooting.md"
QUOTED = [one[2:] for one in PAGE.read_text().splitlines() if one.startswith("> ")]
# A shorter piece of text would be found anywhere.
LEAST = 5


@cache
def pieces():
    """What the code says between the values that it puts in."""
    trees = [
        ast.parse(path.read_text())
        for path in Path(pytest_lem.__file__).parent.rglob("*.py")
    ]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    texts = {one.value for one in nodes if isinstance(one, ast.Constant)}
    return [one for one in texts if isinstance(one, str) and len(one) >= LEAST]


def values_in(message):
    """The message without what the code says; it may end before the code does."""
    left = [True] * len(message)
    for piece in pieces():
        start = message.find(piece)
        if start >= 0:
            left[start : start + len(piece)] = [False] * len(piece)
    for start in range(len(message) - LEAST):
        if any(piece.startswith(message[start:]) for piece in pieces()):
            left[start:] = [False] * (len(message) - start)
    return "".join(one for one, is_left in zip(message, left, strict=True) if is_left)


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_on_the_page_is_one_of_the_code(message):
    """Word for word, but for the values in it, which are the smaller part."""
    values = values_in(message)
    assert len(values) < len(message) / 3, values


def test_a_message_that_no_code_has_is_noticed():
    """Or the test above would hold for any page."""
    message = "the worker took far too long, so it was sent home"
    assert len(values_in(message)) > len(message) / 3
