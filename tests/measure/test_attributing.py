"""What each request of a window is given of its energy, in the record."""

import pytest

from pytest_lem.engines import Capabilities
from pytest_lem.engines.registry import EngineEntry
from pytest_lem.measure.window import cost
from pytest_lem.meters.fake import FakeMeter
from pytest_lem.meters.metering import Metering

ABLE = EngineEntry(
    name="fake",
    target="pytest_lem.engines.fake:FakeEngine",
    capabilities=Capabilities(streaming="tokens"),
)
SCRIPT = {"prefill_s": 0.1, "token_s": 0.05}


def shares_of(window):
    return [one["energy_attributed_j"] for one in window.attribution["requests"]]


def closes(window):
    return sum(shares_of(window)) == pytest.approx(window.energy.gross_j, rel=1e-3)


@pytest.mark.parametrize(
    ("phases", "method"), [(True, "by_phase_tokens"), (False, "by_tokens")]
)
def test_every_window_is_divided_over_its_requests(
    make_lab, experiment, measure, phases, method
):
    """By phases where tokens were stamped, else by tokens; the latency window too."""
    lab = make_lab(FakeMeter(100.0), engine=ABLE, phases=phases)
    one = experiment(
        script=SCRIPT,
        batch_size=2,
        requests=3,
        streaming=True,
        streaming_warmup_requests=1,
        effort={"windows": 1},
    )
    energy, latency = measure(lab, one).windows
    assert energy.attribution["method"] == method
    assert latency.attribution["method"] == "by_phase_tokens"
    for window in (energy, latency):
        assert closes(window)
        assert abs(window.attribution["closure_pct"]) < 0.1
        assert len(shares_of(window)) == window.requests
    assert shares_of(latency) == pytest.approx([25.0] * latency.requests)
    together, alone = [12.5, 12.5, 25.0], [50 / 3] * 3
    assert shares_of(energy) == pytest.approx(together if phases else alone)


def test_without_energy_there_is_nothing_to_divide(make_pass):
    """Null, with the meter's reason."""
    window, _ = cost(make_pass(1.0, 2.0), Metering([], absent="no_meter"), [], None)
    assert window.attribution == {"method": None, "reason": "no_meter"}


def test_a_window_without_requests_says_so(cranked, make_pass):
    """No share is made up."""
    cranked.wait(20.0)
    assert cranked.metering.settle(120.0)
    run = make_pass(105.0, 110.0, requests=0)
    window, _ = cost(run, cranked.metering, ["cpu"], None)
    assert window.attribution == {"method": None, "reason": "no_requests"}


def test_of_many_requests_only_their_distribution_is_kept(cranked, make_pass):
    """With the ini key that would list them."""
    cranked.wait(20.0)
    assert cranked.metering.settle(120.0)
    run = make_pass(105.0, 110.0, requests=3)
    window, _ = cost(run, cranked.metering, ["cpu"], None, request_rows=2)
    found = window.attribution
    assert (found["requests"], found["nulls"]) == (
        None,
        {"requests": "more_than_lem_request_rows"},
    )
    assert found["energy_attributed_j"]["n"] == 3
