"""`--lem-throttle=rerun` from the front door, with a meter that tells of heat once."""

METER = """
import time
from pathlib import Path
from pytest_lem.meters import Telemetry
from pytest_lem.meters.fake import FakeMeter

class Hot(FakeMeter):
    basis = "replayed"

    def poll(self):
        readings, _, wait_s = super().poll()
        hot = not Path(__file__).with_name("cold").exists()
        now = Telemetry(
            device="GPU-a",
            time_s=time.monotonic(),
            temperature_c=90.0 if hot else 60.0,
            throttle_reasons=("hw_thermal",) if hot else (),
        )
        return readings, [now], wait_s

def open_meter(argument, gpus):
    return Hot(50.0)
"""
CONFTEST = """
from pathlib import Path

def note(word):
    with Path(__file__).with_name("notes.txt").open("a") as file:
        file.write(word + " ")

def pytest_lem_register_meters(registry):
    registry.add("hot", "hot_meter:open_meter")

def pytest_lem_cycle_start(item, cycle):
    note(f"start-{cycle}")

def pytest_lem_cycle_finish(item, cycle):
    Path(__file__).with_name("cold").touch()
    note(cycle.status)
"""
SOURCE = """
from pathlib import Path

def test_it(lem):
    with Path(__file__).with_name("notes.txt").open("a") as file:
        file.write("body ")
    result = lem()
    assert result.output_throughput_tps.n == len({one.index for one in result.cycles})
"""


def test_a_cycle_is_run_again_within_its_body(
    run, project, notes, report, journal, monkeypatch
):
    """The body runs once per cycle; the attempts are in report, plan and journal."""
    monkeypatch.syspath_prepend(str(project.path))
    project.makepyfile(hot_meter=METER)
    project.makeconftest(CONFTEST)
    arguments = ["--lem-meter=hot", "--lem-throttle=rerun", "--lem-json=r.json"]
    arguments += ["--lem-set=fake.prefill_s=0.1"]
    run(SOURCE, *arguments).assert_outcomes(passed=1)
    first = ["body", "start-0", "rerun", "complete"]
    assert notes() == [*first, "body", "start-1", "complete"]
    (one,) = report().experiments
    told = [(c.index, c.attempt, c.status) for c in one.cycles]
    assert told == [(0, 0, "rerun"), (0, 1, "complete"), (1, 0, "complete")]
    executed = [(e["cycle"], e["status"]) for e in report().plan.executed]
    assert executed == [(0, "rerun"), (0, "complete"), (1, "complete")]
    assert [line["cycle"]["attempt"] for line in journal()] == [0, 1, 0]
    assert one.summary["output_throughput_tps"].n == 2
    assert one.excluded == [{"cycle": 0, "cause": "throttled"}]
    assert "throttled_thermal" not in one.flags
