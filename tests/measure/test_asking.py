"""What a pass asks of the engine."""

from pytest_lem.measure.asking import asked
from pytest_lem.spec.workload import Workload

DRAWN = "uniform:low=5,high=9"


def test_one_length_is_asked_of_all_requests():
    """It is the least as well, unless the workload says otherwise; 0 is none."""
    for least, sent in ((None, 64), (10, 10), (0, 0)):
        workload = Workload(output_tokens=64, min_output_tokens=least)
        options = asked(workload)
        assert (options.output_tokens, options.min_output_tokens) == (64, sent)
        assert options.output_limits == ()


def test_lengths_that_differ_are_asked_of_each_request():
    """The same of the same request, however many there are; forced if one length is."""
    workload = Workload(output_lengths=DRAWN, requests=6)
    options = asked(workload)
    limits = options.output_limits
    assert len(limits) == 6
    assert options.forced
    assert options.output_tokens == max(limits)
    assert asked(workload, 3).output_limits == limits[:3]
    own = [options.of(place) for place in range(6)]
    assert [one.output_tokens for one in own] == limits
    assert [one.min_output_tokens for one in own] == limits
    free = asked(Workload(output_lengths=DRAWN, requests=6, min_output_tokens=2))
    assert (free.output_limits, free.of(0).min_output_tokens) == (limits, 2)
    alike = asked(Workload(output_lengths="fixed:7", requests=6))
    assert (alike.output_tokens, alike.output_limits) == (7, ())
