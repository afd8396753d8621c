"""Energy divided over requests: by hand, and closing whatever the requests are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.analysis.attribution import (
    Drawn,
    Flight,
    by_phase_tokens,
    by_tokens,
)


def flight(input_tokens, output_tokens):
    return Flight(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        decoded=max(0, output_tokens - 1),
    )


def test_each_phase_is_divided_by_its_own_tokens():
    """Prefill by tokens in, decode by those after the first, what is left by all."""
    requests = [flight(30, 11), flight(10, 31), flight(1, 1)]
    parts = [
        Drawn(phase="prefill", energy_j=80.0, requests=[0, 1]),
        Drawn(phase="decode", energy_j=40.0, requests=[0, 1]),
        Drawn(phase="other", energy_j=8.4, requests=[0, 1, 2]),
    ]
    assert by_phase_tokens(parts, requests) == pytest.approx(
        [60 + 10 + 4.1, 20 + 30 + 4.1, 0.2]
    )


def test_a_part_without_tokens_is_divided_equally():
    """Requests of one token each still took the time after it together."""
    requests = [flight(30, 1), flight(10, 1)]
    parts = [Drawn(phase="decode", energy_j=6.0, requests=[0, 1])]
    assert by_phase_tokens(parts, requests) == [3.0, 3.0]


def test_without_phases_a_token_in_and_a_token_out_weigh_the_same():
    """All that can be said without knowing when."""
    assert by_tokens(90.0, [flight(20, 10), flight(50, 10)]) == [30.0, 60.0]


FLIGHTS = st.builds(flight, st.integers(0, 10**6), st.integers(0, 10**5))
ENERGIES = st.floats(1e-6, 1e9)


@given(st.data(), st.lists(FLIGHTS, min_size=1, max_size=40))
def test_shares_are_never_negative_and_close(data, requests):
    """Whatever the requests and the parts they share."""
    places = st.lists(
        st.sampled_from(range(len(requests))), min_size=1, unique=True, max_size=40
    )
    drawn = st.builds(
        Drawn,
        phase=st.sampled_from(["prefill", "decode", "other"]),
        energy_j=ENERGIES,
        requests=places,
    )
    parts = data.draw(st.lists(drawn, min_size=1, max_size=20))
    shares = by_phase_tokens(parts, requests)
    assert min(shares) >= 0.0
    assert sum(shares) == pytest.approx(sum(one.energy_j for one in parts), rel=1e-9)
