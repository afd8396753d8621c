"""The gate on real transformers on the CPU, from saving a reference to `--lf`."""

import os
import xml.etree.ElementTree as ET

import pytest

pytest.importorskip("transformers")
pytest.importorskip("sqlalchemy")

from pytest_lem.records.export import read_json

from .whole import Sessions, hindered

METRIC = "output_throughput_tps"
LIMIT = f"--lem-compare-fail={METRIC}:10%"
# A batch so wide that arithmetic takes the time: single requests of so small a model
# take 20 % more or less from one second to the next.
INI = (
    "lem_backend = transformers",
    "lem_model = synthetic:llama-tiny",
    "lem_meter = none",
    "lem_idle = off",
    "lem_warmup = fixed:1",
    "lem_windows = 3",
    "lem_cycles = 3",
    "lem_set =",
    "    transformers.device=cpu",
    "    batch_size=64",
    "    input_tokens=16",
    "    output_tokens=128",
)
CALM = ("pass", "inconclusive")
MOST_SESSIONS = 8

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "PYTEST_XDIST_WORKER" in os.environ,
        reason="times an engine: .ci/full runs it with nothing beside it",
    ),
]


@pytest.mark.parametrize("stopped", [3 / 4, 1 / 4])
def test_a_worker_that_is_stopped_for_a_part_of_the_time_is_a_regression(
    pytester, monkeypatch, stopped
):
    """Of tokens per second; unchanged it is none, and another model no comparison."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    sessions = Sessions(pytester, INI, label="main")

    def judged(*more):
        """What pytest did, the one experiment, and the rule it was judged by."""
        done = sessions.compare(LIMIT, *more)
        (one,) = read_json(sessions.path / "r.json").experiments
        (rule,) = one.gate["rules"]
        return done, one, rule

    sessions.save(3)
    done, one, rule = judged()
    assert (done.ret, one.gate["verdict"] in CALM) == (0, True)
    # There is no doubt where less than it costs could be told from noise.
    while rule["shift"]["visible"] > 0.9 / (1 - stopped):
        if sessions.saved == MOST_SESSIONS:
            percent = 100 * (rule["shift"]["visible"] - 1)
            pytest.skip(f"this machine's noise is {percent:.0f} %: it is too busy")
        sessions.save(1)
        done, one, rule = judged()
        assert (done.ret, one.gate["verdict"] in CALM) == (0, True)

    with hindered(sessions.path, stopped):
        done, one, rule = judged("--junitxml=j.xml")
    assert (done.ret, one.gate["verdict"]) == (1, "regression")
    assert rule["shift"]["sessions"] == [sessions.saved, 1]
    (case,) = ET.parse(sessions.path / "j.xml").findall(".//testcase")
    assert f"regression: {METRIC}" in case.find("failure").get("message")

    done, one, _ = judged("--lf")
    done.stdout.fnmatch_lines(["run-last-failure: rerun previous 1 failure"])
    assert (done.ret, one.gate["verdict"] in CALM) == (0, True)
    assert [cycle.status for cycle in one.cycles] == ["complete"] * 3

    done, one, rule = judged("--lem-model=synthetic:llama-tiny@1")
    assert (done.ret, one.gate["verdict"]) == (1, "incomparable")
    assert rule["reasons"][0].startswith("model.name 'synthetic:llama-tiny' and ")
