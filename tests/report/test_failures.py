"""The table of requests that failed."""

from pytest_lem.analysis.failures import FAILURES
from pytest_lem.report.failures import of_kinds


def test_a_kind_that_one_had_is_a_number_for_all_and_others_are_left_out():
    first, second, *others = FAILURES
    none = dict.fromkeys(FAILURES, "0")
    rows = of_kinds([{**none, first: "2"}, {**none, second: "1"}])
    assert rows == [{first: "2", second: "0"}, {first: "0", second: "1"}]
    assert others
