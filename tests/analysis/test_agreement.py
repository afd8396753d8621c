"""Agreement of answers, token by token, and of how sure two sides are."""

import pytest

from pytest_lem.analysis.agreement import Said, agreement, common_prefix


def said(*ids, logs=None):
    return Said(token_ids=ids, log_probabilities=logs)


def test_the_same_answers_agree_wholly():
    """And the distance is that of their log-probabilities."""
    one, other = said(1, 2, logs=[-1.0, -2.0]), said(1, 2, logs=[-1.5, -2.0])
    found = agreement([(one, other), (said(7), said(7))])
    assert (found.requests, found.identical, found.tokens) == (2, 2, 3)
    assert (found.match_rate, found.first_divergence) == (1.0, None)
    assert found.compared_tokens == 2
    assert found.log_probability_distance == pytest.approx(0.25)


def test_answers_that_part_are_compared_up_to_there():
    """Afterwards each is sure of something else; a place may match by chance."""
    one = said(1, 2, 3, 4, logs=[-1.0, None, -3.0, -9.0])
    other = said(1, 2, 9, 4, 5, logs=[-3.0, -1.0, -1.0, -1.0, -1.0])
    found = agreement([(one, other)])
    assert (found.identical, found.first_divergence) == (0, 2.0)
    assert found.match_rate == pytest.approx(3 / 5)
    assert (found.compared_tokens, found.log_probability_distance) == (1, 2.0)


def test_an_answer_that_is_the_others_beginning_is_another():
    """It ended before; the places that it does not have do not match."""
    found = agreement([(said(1, 2), said(1, 2, 3, 4))])
    assert (found.identical, found.first_divergence, found.match_rate) == (0, 2.0, 0.5)


def test_of_nothing_nothing_is_said():
    """No request, or answers without tokens."""
    assert agreement([]).match_rate is None
    empty = agreement([(said(), said())])
    assert (empty.identical, empty.match_rate, empty.tokens) == (1, None, 0)


@pytest.mark.parametrize(
    ("one", "other", "same"), [([], [1], 0), ([1, 2], [1, 3], 1), ([5], [5, 6], 1)]
)
def test_a_common_beginning_ends_where_either_does(one, other, same):
    """Or where they differ."""
    assert common_prefix(one, other) == same
