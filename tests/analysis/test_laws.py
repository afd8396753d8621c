"""Laws for measured numbers: what holds passes, what cannot be is named."""

from dataclasses import replace

import pytest

from pytest_lem.analysis.laws import Account, DeviceEnergy, broken_laws
from pytest_lem.analysis.metrics import METRICS, WindowFigures, pooled

LIMITS_W = {"GPU-0": 700.0, "GPU-1": 700.0}


def gpu(name="GPU-0", energy_j=600.0, uncertainty_j=1.0):
    """What a GPU drew."""
    return DeviceEnergy(
        device=name, scope="gpu", energy_j=energy_j, uncertainty_j=uncertainty_j
    )


CPU = DeviceEnergy(device="package-0", scope="cpu", energy_j=90.0, uncertainty_j=None)

WINDOW = Account(
    name="energy window 0",
    duration_s=1.0,
    gross_j=1200.0,
    scope=["gpu"],
    devices=[gpu("GPU-0"), gpu("GPU-1"), CPU],
    requests=3,
    batches=[2, 1],
    input_tokens=30,
    output_tokens=12,
    request_tokens=[(10, 4)] * 3,
)

METRICS_OF_IT = pooled(
    [
        WindowFigures(
            duration_s=1.0,
            input_tokens=30,
            output_tokens=12,
            requests=3,
            gross_j=1200.0,
            net_j=None,
            uncertainty_j=1.4,
            cpu_j=90.0,
            dram_j=None,
        )
    ]
)


def laws(window=WINDOW, metrics=METRICS_OF_IT, limits_w=None, **changed):
    """The lines for one window with some of its claims changed."""
    limits_w = LIMITS_W if limits_w is None else limits_w
    return broken_laws([replace(window, **changed)], metrics, limits_w)


def test_requests_are_given_what_their_window_drew():
    """A tenth of a percent may be rounding."""
    assert laws(attributed_j=1200.5) == []
    (line,) = laws(attributed_j=1230.0)
    assert line.startswith("attribution_sum: energy window 0: ")


def test_numbers_that_can_be_break_no_law():
    """Devices within their limits, sums that close."""
    assert laws() == []


def test_numbers_that_do_not_exist_break_no_law():
    """Null is no number: nothing is compared with it."""
    nothing = [gpu("GPU-0", None, None), CPU]
    unknown = dict.fromkeys(METRICS)
    assert laws(devices=nothing, gross_j=None, metrics=unknown) == []
    assert laws(devices=[], scope=[], gross_j=None, metrics={}) == []


@pytest.mark.parametrize(
    ("energy_j", "uncertainty_j", "possible"),
    [
        (700.0, 0.0, True),
        (770.0, 0.0, True),
        (771.0, 0.0, False),
        (771.0, 1.5, True),
        (900.0, 100.0, False),
        (771.0, None, False),
    ],
)
def test_power_above_the_limit_is_impossible(energy_j, uncertainty_j, possible):
    """By more than 10 %, with what the uncertainty allows taken off."""
    devices = [gpu("GPU-0", energy_j, uncertainty_j)]
    lines = laws(devices=devices, gross_j=energy_j)
    assert (lines == []) is possible
    assert all(line.startswith("power_limit: energy window 0: GPU-0") for line in lines)
    assert all(f"{energy_j:g} J" in line and "700 W" in line for line in lines)


def test_power_is_energy_over_the_window_s_own_time():
    """Half the power in twice the time is the same energy."""
    assert laws(duration_s=2.0, devices=[gpu("GPU-0", 1500.0)], gross_j=1500.0) == []
    (line,) = laws(duration_s=2.0, devices=[gpu("GPU-0", 1600.0)], gross_j=1600.0)
    assert "1600 J in 2 s" in line


@pytest.mark.parametrize(
    ("duration_s", "power_w", "possible"),
    [(0.1, 874.0, True), (0.999, 1390.0, True), (0.1, 1410.0, False)],
)
def test_within_a_second_a_gpu_may_overshoot(duration_s, power_w, possible):
    """The control of power takes its time; twice the limit is too much even then."""
    energy_j = duration_s * power_w
    lines = laws(
        duration_s=duration_s, devices=[gpu("GPU-0", energy_j, 0.0)], gross_j=energy_j
    )
    assert (lines == []) is possible


def test_every_gpu_is_held_against_its_own_limit():
    """One that is below does not excuse another; one without a limit is left alone."""
    found = laws(limits_w={"GPU-1": 300.0})
    assert [line.split(": ")[2].split()[0] for line in found] == ["GPU-1"]
    assert laws(limits_w={}) == []


@pytest.mark.parametrize(
    ("gross_j", "possible"),
    [(1201.0, True), (1202.0, False), (1198.0, False), (1290.0, False), (0.0, False)],
)
def test_devices_in_scope_add_up_to_the_gross(gross_j, possible):
    """Within 0.1 %; a CPU that is not in scope is not in the sum."""
    lines = laws(gross_j=gross_j)
    assert (lines == []) is possible
    assert all(line.startswith("energy_sum: ") for line in lines)
    assert all("1200 J" in line and f"{gross_j:g} J" in line for line in lines)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"requests": 4, "batches": []}, "4 requests told, 3 counted"),
        ({"batches": [2, 2]}, "3 requests of its batches told, 4 counted"),
        ({"input_tokens": 31}, "31 input tokens told, 30 counted"),
        ({"output_tokens": 11}, "11 output tokens told, 12 counted"),
    ],
)
def test_counts_add_up_exactly(changed, line):
    """Requests over batches, tokens over requests."""
    assert laws(**changed) == [f"count: energy window 0: {line}"]


def test_an_engine_that_tells_no_batches_is_not_held_to_them():
    """An empty list says nothing."""
    assert laws(batches=[]) == []


@pytest.mark.parametrize("kind", ["output", "total"])
@pytest.mark.parametrize(("factor", "possible"), [(1.0009, True), (1.0012, False)])
def test_energy_per_token_times_tokens_per_second_is_power(kind, factor, possible):
    """Within 0.1 %, for output tokens and for all."""
    name = f"energy_per_{kind}_token_j"
    metrics = {**METRICS_OF_IT, name: METRICS_OF_IT[name] * factor}
    lines = laws(metrics=metrics)
    assert (lines == []) is possible
    assert all(line.startswith("token_power: ") for line in lines)
    assert all(kind in line and "power is 1200 W" in line for line in lines)


@pytest.mark.parametrize(
    ("phases", "broken"),
    [
        ([(0.3, 500.0), (0.6, 650.0), (0.1, 50.0)], []),
        ([(0.3, None), (0.6, 650.0), (0.1, 50.0)], []),
        ([(0.3, 500.0), (0.6, 650.0), (0.1, 52.0)], ["1202 J together"]),
        ([(0.3, 500.0), (0.5, 650.0), (0.1, 50.0)], ["0.9 s together"]),
    ],
)
def test_phases_add_up_to_the_window(phases, broken):
    """In seconds and in joules, where both are known."""
    lines = laws(phases=phases)
    assert len(lines) == len(broken)
    for line, part in zip(lines, broken, strict=True):
        assert line.startswith("phase_sum: energy window 0: ")
        assert part in line


def test_power_is_energy_over_time():
    """A power that all agree on is still held against the joules."""
    metrics = {**METRICS_OF_IT, "energy_gross_j": 1300.0}
    (line,) = laws(metrics=metrics)
    assert line == "mean_power: 1300 J in 1 s is 1300 W and power is 1200 W"


def test_all_that_is_broken_is_told():
    """A line for each, window by window."""
    other = replace(WINDOW, name="energy window 1", output_tokens=1, gross_j=1.0)
    lines = broken_laws([WINDOW, other], METRICS_OF_IT, LIMITS_W)
    assert [line.partition(":")[0] for line in lines] == ["energy_sum", "count"]
    assert all("energy window 1" in line for line in lines)
