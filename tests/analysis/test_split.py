"""Windows cut at their requests' token stamps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.analysis.latency import Stamps
from pytest_lem.analysis.split import Piece, covered_ns, split


def batch(sent, first, ended, size=1):
    """Requests that share their stamps, the last token one before the end."""
    return [Stamps(sent, ended, [first, ended - 1])] * size


def test_a_window_of_two_batches_by_hand():
    """Each batch's span is there once, whatever its size; what is left is other."""
    found = split(0, 100, [*batch(10, 20, 50, size=3), *batch(60, 65, 100)])
    assert found.pieces == [
        Piece("other", 0, 10),
        Piece("prefill", 10, 20, 0),
        Piece("decode", 20, 50, 0),
        Piece("other", 50, 60),
        Piece("prefill", 60, 65, 1),
        Piece("decode", 65, 100, 1),
    ]
    assert (found.members, found.reason) == ([[0, 1, 2], [3]], None)
    assert found.duration_s("other") == pytest.approx(20e-9)


@pytest.mark.parametrize(
    ("requests", "reason"),
    [
        ([], "no_token_stamps"),
        ([*batch(10, 20, 50), Stamps(60, 90, [])], "no_token_stamps"),
        ([*batch(10, 20, 50), *batch(40, 60, 90)], "requests_overlap"),
        ([*batch(10, 20, 50), *batch(10, 30, 50)], "requests_overlap"),
        (batch(10, 20, 101), "stamps_out_of_order"),
        (batch(10, 5, 50), "stamps_out_of_order"),
    ],
)
def test_a_window_that_cannot_be_cut_says_why(requests, reason):
    """No piece is made up."""
    found = split(0, 100, requests)
    assert (list(found.pieces), found.reason) == ([], reason)


def test_requests_left_out_are_other_and_still_must_not_overlap():
    """The first ones warm up; what they share with another is not that one's alone."""
    first, second = batch(10, 20, 50), batch(60, 65, 90)
    assert split(0, 100, [*first, *second], left_out=1).pieces == [
        Piece("other", 0, 60),
        Piece("prefill", 60, 65, 0),
        Piece("decode", 65, 90, 0),
        Piece("other", 90, 100),
    ]
    late = batch(40, 65, 90)
    found = split(0, 100, [*first, *late], left_out=1)
    assert found.reason == "requests_overlap"


def test_a_window_without_length_has_no_phases():
    """Nothing can be cut from it."""
    assert split(5, 5, batch(5, 5, 5)).reason == "empty_window"


@given(st.lists(st.integers(0, 50), min_size=3, max_size=12), st.integers(1, 50))
def test_pieces_partition_the_window(gaps, rest):
    """They follow one another without gap or overlap, from its start to its end."""
    marks, now = [], 0
    for gap in gaps:
        now += gap
        marks.append(now)
    whole = len(marks) // 3 * 3
    requests = [
        Stamps(sent, ended, [first])
        for sent, first, ended in zip(*[iter(marks[:whole])] * 3, strict=True)
    ]
    found = split(0, now + rest, requests)
    ends = [0, *(piece.end_ns for piece in found.pieces)]
    assert [piece.start_ns for piece in found.pieces] == ends[:-1]
    assert ends[-1] == now + rest
    assert all(piece.start_ns < piece.end_ns for piece in found.pieces)


def test_what_overlaps_is_covered_once():
    """Apart, touching, overlapping, one inside another, and the same twice."""
    spans = [(40, 50), (0, 10), (10, 20), (15, 30), (16, 18), (40, 50)]
    assert covered_ns(spans) == 40
    assert covered_ns([]) == 0
