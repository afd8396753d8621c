"""`--lem-traces`: the raw readings of a session beside its report."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pytest_lem.meters.trace import read_trace

TRACE = Path(__file__).parents[1] / "data" / "h100_llm_trace.json.gz"

SOURCE = """
import pytest

@pytest.mark.lem(streaming=True, streaming_warmup_requests=0)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size):
    lem()
"""

RECORDED = (
    *("--lem-traces=out/t", "--lem-json=r.json", "--lem-csv=r.csv"),
    *("--lem-windows=2", "--lem-warmup=fixed:2"),
    *("--lem-set=fake.prefill_s=0.02", "--lem-set=fake.token_s=0.03"),
)


def recounted(path):
    """What `lem trace` tells of the marks in a file."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest_lem.cli", "trace", str(path), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def told_again(record, rows):
    """(energy in the report, energy by the trace) of every window of the report."""
    found = {
        tuple(one["about"][key] for key in ("experiment", "cycle", "window")): one
        for one in rows
        if one["name"] == "window"
    }
    for experiment in record.experiments:
        for cycle in experiment.cycles:
            for window in cycle.windows:
                again = found.pop((experiment.id, cycle.index, window.index))
                assert again["about"]["kind"] == window.kind
                assert again["method"] == window.energy.method
                yield window.energy.gross_j, again["energy_j"]
    assert not found


@pytest.mark.parametrize("meter", ["fake:100", f"replay:{TRACE}"])
def test_the_trace_gives_the_energies_of_the_report_again(project, run, report, meter):
    """Windows to 1e-9, from files that the report names relative to itself."""
    run(SOURCE, f"--lem-meter={meter}", *RECORDED).assert_outcomes(passed=2)
    record = report()
    assert record.timeseries["path"].startswith("out/t/")
    rows = recounted(project.path / record.timeseries["trace_path"])
    pairs = list(told_again(record, rows))
    assert len(pairs) == 2 * 2 * 3
    for energy_j, again_j in pairs:
        assert again_j == pytest.approx(energy_j, rel=1e-9)
    loads = [one for one in rows if one["name"] == "load"]
    energies = [c.load["energy_j"] for e in record.experiments for c in e.cycles]
    assert sorted(one["energy_j"] for one in loads) == pytest.approx(sorted(energies))


def test_everything_that_was_going_on_is_marked(project, run, report):
    """Load, warm-up, idle, windows and phases, each with experiment and cycle."""
    idle = ("--lem-idle=auto", "-o", "lem_idle_seconds=1")
    run(SOURCE, "--lem-meter=fake:100", *RECORDED, *idle)
    record = report()
    marks = read_trace(project.path / record.timeseries["trace_path"]).marks
    assert {mark.name for mark in marks} == {
        *("load", "warmup", "idle", "window", "prefill", "decode")
    }
    ids = {one.id for one in record.experiments}
    assert {mark.about["experiment"] for mark in marks} == ids
    assert {mark.about["cycle"] for mark in marks} == {0, 1}
    idle = [mark for mark in marks if mark.name == "idle"]
    assert {mark.about["state"] for mark in idle} == {
        *("no_context", "context", "model_loaded")
    }
    assert idle[0].end_s - idle[0].start_s == pytest.approx(1.0, abs=0.3)
    warmups = [mark for mark in marks if mark.name == "warmup"]
    assert len(warmups) == 4
    rows = pq.read_table(project.path / record.timeseries["marks_path"]).to_pylist()
    assert [row["name"] for row in rows] == [mark.name for mark in marks]
    assert [row["cycle"] for row in rows] == [mark.about["cycle"] for mark in marks]


def test_what_was_played_is_written_and_can_be_played(project, run, report):
    """Ring, telemetry and throttle counters pass from one trace into the next."""
    run(SOURCE, f"--lem-meter=replay:{TRACE}", *RECORDED, "-k", "fake-1")
    files = report().timeseries
    (track,) = read_trace(project.path / files["trace_path"]).tracks
    assert (track.basis, track.device.scope) == ("replayed", "gpu")
    assert min(map(len, (track.counter, track.ring, track.telemetry))) > 20
    assert track.throttle[0].throttle_ns["sw_thermal"] == 0
    facts = pq.read_table(project.path / files["path"])
    assert {"time_s", "power_w", "temperature_c", "memory_used_mb"} <= {
        *facts.schema.names
    }
    assert facts.num_rows == len(track.telemetry) + len(track.throttle)
    power = pq.read_table(project.path / files["power_path"]).to_pylist()
    assert {row["source"] for row in power} == {"ring", "counter"}
    shutil.copy(project.path / files["trace_path"], project.path / "again.gz")
    again = run(SOURCE, "--lem-meter=replay:again.gz", "--lem-json=s.json", "-v")
    again.assert_outcomes(passed=2)
    again.stdout.fnmatch_lines(["*PASSED ~* J/token*"])


def test_the_report_is_whole_without_its_files(project, run, report):
    """They can be left behind; without the option there are none."""
    run(SOURCE, "--lem-meter=fake:100", *RECORDED)
    whole = report()
    shutil.rmtree(project.path / "out")
    assert report() == whole
    assert whole.experiments[0].summary["energy_gross_j"].value > 0
    table = (project.path / "r.csv").read_text()
    assert whole.timeseries["trace_path"] in table
    assert not list((project.path / ".lem").rglob("trace*"))
    run(SOURCE, "--lem-meter=fake:100", "--lem-json=s.json")
    assert report("s.json").timeseries is None


def test_paths_are_relative_to_a_report_elsewhere(project, run, report):
    """Report and files move together."""
    (project.path / "reports").mkdir()
    run(
        SOURCE,
        *("--lem-meter=fake:100", "--lem-traces=reports/raw"),
        "--lem-json=reports/r.json",
    )
    files = report("reports/r.json").timeseries
    assert files["path"].startswith("raw/")
    paths = [path for key, path in files.items() if key.endswith("path")]
    assert all((project.path / "reports" / path).is_file() for path in paths)


def test_without_a_meter_there_is_nothing_to_record(run, errors_of):
    """It is said before anything runs."""
    result = run(SOURCE, "--lem-meter=none", "--lem-traces=out")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors_of(result)
    assert line.startswith("--lem-traces: no meter is at work")


def test_a_file_is_no_place_for_traces(project, run, errors_of):
    """The option names a directory."""
    (project.path / "out").write_text("")
    result = run(SOURCE, "--lem-meter=fake", "--lem-traces=out")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert errors_of(result) == ["--lem-traces=out: is no directory"]


def test_traces_that_cannot_be_written_cost_no_report(project, run, report):
    """One line says so, the exit code tells, and every number is there."""
    source = SOURCE + '    open("out", "w").close()\n'
    result = run(
        source, "--lem-meter=fake:100", "--lem-traces=out", "--lem-json=r.json"
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["traces could not be written to out: *"])
    assert report().timeseries is None
    assert report().experiments[0].summary["energy_gross_j"].value > 0


def test_windows_of_the_meter_fixture_are_marked_too(project, run):
    """A session without experiments has a trace as well."""
    source = """
    import time

    def test_meter(meter):
        with meter.window() as window:
            time.sleep(0.5)
        assert window.energy_j > 0
    """
    run(source, "--lem-meter=fake:100", "--lem-traces=out").assert_outcomes(passed=1)
    (path,) = (project.path / "out").glob("*.trace.json.gz")
    (one,) = recounted(path)
    assert one["name"] == "meter"
    assert one["power_w"] == pytest.approx(100)


@pytest.mark.slow
def test_a_real_engine_s_session_is_told_again(project, run, report):
    """Transformers on the CPU, by the model of CodeCarbon: CPU and memory."""
    pytest.importorskip("transformers")
    pytest.importorskip("codecarbon")
    project.makepyfile(test_it=SOURCE)
    project.runpytest_subprocess(
        *("--lem-backend=transformers", "--lem-meter=codecarbon", "-k", "1"),
        *("-o", "lem_set=", "--lem-set=transformers.device=cpu"),
        *("--lem-set=output_tokens=8", "--lem-set=input_tokens=8"),
        *("--lem-traces=out", "--lem-json=r.json", "--lem-windows=2"),
    ).assert_outcomes(passed=1)
    record = report()
    rows = recounted(project.path / record.timeseries["trace_path"])
    pairs = list(told_again(record, rows))
    assert len(pairs) == 2 * 3
    for energy_j, again_j in pairs:
        assert again_j == pytest.approx(energy_j, rel=1e-9)
    scopes = [row["scope"] for row in rows[0]["per_device"]]
    assert scopes == ["cpu", "dram"]
