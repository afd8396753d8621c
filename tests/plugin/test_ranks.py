"""An engine of several processes, from the front door to the record."""

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app

CONFTEST = """
def pytest_lem_register_engines(registry):
    from pytest_lem.engines import Capabilities
    from pytest_lem.engines.registry import EngineEntry
    own = Capabilities(
        launch="accelerate", copies="copies", parts=["wide", "deep"], streaming="tokens"
    )
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
from typer.testing import CliRunner

from pytest_lem.cli import app

@pytest.mark.lem(requests=4, many={"copies": 2, "token_s": 0.005}, streaming=True)
def test_it(lem):
    lem()
"""


def lem(*arguments):
    """Run the command, which ends well."""
    found = CliRunner().invoke(app, [*map(str, arguments)])
    assert found.exit_code == 0, found.output
    return found


@pytest.fixture
def run_many(run, project, extend):
    """Run an experiment of two copies."""

    def run_many(*arguments, source=SOURCE):
        extend(CONFTEST)
        project.makepyfile(many=ENGINE)
        options = ("--lem-backend=many", "--lem-json=r.json", "--lem-cycles=1")
        return run(source, *options, *arguments)

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


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"copies": 2}, "copies=2 needs 2 GPUs"),
        ({"wide": 2, "deep": 3}, "wide=2 x deep=3 needs 6 GPUs"),
    ],
)
def test_more_processes_than_gpus_are_a_usage_error(
    run_many, driver, errors_of, section, said
):
    """With both numbers and the option that names GPUs, before anything starts."""
    driver([300.0])
    source = f"""
    import pytest
    @pytest.mark.lem(many={section})
    def test_it(lem):
        lem()
    """
    result = run_many(source=source)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors_of(result)
    assert line.endswith(f"many.{said} and the run has 1: --lem-gpus names them")


def test_what_processes_wrote_aggregates_to_what_the_session_said(
    run_many, report, project
):
    """Sums, rates, latencies of all requests; each process has a file of its own."""
    run_many("--lem-save-raw=raw", "--lem-meter=fake").assert_outcomes(passed=1)
    (folder,) = (project.path / "raw").iterdir()
    assert len(list(folder.rglob("*.parquet"))) == 2
    lem("aggregate", folder, "-o", project.path / "again.json")
    (cycle,) = report().experiments[0].cycles
    (again,) = report("again.json").experiments[0].cycles
    left_out = {name for name, why in again.nulls.items() if why == "not_aggregated"}
    for name, value in cycle.metrics.items():
        if name not in left_out:
            assert again.metrics[name] == pytest.approx(value), name
    for one, other in zip(cycle.windows, again.windows, strict=True):
        assert (one.tokens, one.outcomes) == (other.tokens, other.outcomes)
        assert one.latency["itl_ms"] == other.latency["itl_ms"]
        assert other.inference_s == pytest.approx(one.inference_s)
    assert again.aggregation["processes"] == 2
    assert not again.aggregation["partial"]


def test_what_cannot_be_kept_of_processes_flags_the_cycle(run_many, report, project):
    """Its windows count: what was measured is not lost."""
    body = 'import pathlib; pathlib.Path("raw").touch(); lem()'
    run_many("--lem-save-raw=raw", source=SOURCE.replace("lem()", body))
    (one,) = report().experiments
    assert "raw_not_saved" in one.flags
    assert one.cycles[0].nulls["raw_path"] == "not_writable"
    assert "output_throughput_tps" in one.summary
