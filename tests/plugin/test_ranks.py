"""An engine of several processes, from the front door to the record."""

import pytest

CONFTEST = """
def pytest_lem_register_engines(registry):
    from pytest_lem.engines import Capabilities
    from pytest_lem.engines.registry import EngineEntry
    own = Capabilities(launch="accelerate", copies="copies", streaming="tokens")
    registry.add(EngineEntry(name="many", target="many:Many", capabilities=own))
"""
ENGINE = """
from pytest_lem.engines.fake import FakeEngine

class Many(FakeEngine):
    def load(self, spec):
        script = {k: v for k, v in spec["engine"].items() if k != "copies"}
        return super().load({**spec, "engine": script})
"""
SOURCE = """
import pytest

@pytest.mark.lem(requests=4, many={"copies": 2, "token_s": 0.005}, streaming=True)
def test_it(lem):
    lem()
"""


@pytest.fixture
def run_many(run, project, extend):
    """Run an experiment of two copies."""

    def run_many(*arguments):
        extend(CONFTEST)
        project.makepyfile(many=ENGINE)
        options = ("--lem-backend=many", "--lem-json=r.json", "--lem-cycles=1")
        return run(SOURCE, *options, *arguments)

    return run_many


def test_copies_are_one_engine_to_the_record(run_many, report):
    """Tokens of both over one span, each rank told apart, latencies pooled."""
    run_many().assert_outcomes(passed=1)
    (experiment,) = report().experiments
    (cycle,) = experiment.cycles
    assert cycle.effective["world_size"] == 2
    assert len(cycle.worker["ranks"]) == 2
    energy, latency = cycle.windows
    assert energy.tokens.output == 4 * 4
    assert energy.throughput["output_tps"] == pytest.approx(16 / energy.duration_s)
    assert energy.inference_s <= energy.duration_s
    assert latency.latency["itl_ms"]["n"] == 3 * latency.latency["requests"]
    assert latency.phases["reason"] == "requests_overlap"
    assert [row["rank"] for row in cycle.native["ranks"]] == [0, 1]


def test_more_processes_than_gpus_are_a_usage_error(run_many, driver, errors_of):
    """With both numbers and the option that names GPUs, before anything starts."""
    driver([300.0])
    result = run_many()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors_of(result)
    assert line.endswith(
        "many.copies=2 needs 2 GPUs and the run has 1: --lem-gpus names them"
    )
