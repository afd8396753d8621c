"""What processes wrote becomes one record, or it is said what is not whole."""

import json
import logging
import tempfile
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pytest_lem.cli import app
from pytest_lem.errors import AggregationError
from pytest_lem.records.raw.aggregate import aggregate
from pytest_lem.records.raw.files import LOG, RUN, locked, place
from tests.records import raw_runs

GAPS = st.lists(st.floats(0.1, 50.0), min_size=1, max_size=5)
REQUESTS = st.lists(
    st.builds(raw_runs.request_of, st.floats(100.0, 101.0), GAPS),
    min_size=1,
    max_size=9,
)


def only_cycle(record):
    (experiment,) = record.experiments
    (cycle,) = experiment.cycles
    return cycle


@given(requests=REQUESTS, processes=st.integers(2, 6))
@settings(max_examples=15)
def test_many_processes_are_as_one_that_did_it_all(requests, processes):
    """Sums, rates from sums, time from first to last, percentiles of all samples."""
    with tempfile.TemporaryDirectory() as name:
        many, one = (
            only_cycle(
                aggregate(
                    raw_runs.write(
                        Path(name) / str(count), requests, count, gpus=processes
                    )
                )
            )
            for count in (processes, 1)
        )
    assert many.metrics == pytest.approx(one.metrics)
    assert many.metrics["energy_gross_j"] == pytest.approx(10.0 * processes)
    assert many.metrics["output_throughput_tps"] == pytest.approx(
        sum(each.output_tokens for each in requests) / one.windows[0].duration_s
    )
    assert many.metrics["flops"] == 7.0 * len(requests)
    for mine, its in zip(many.windows, one.windows, strict=True):
        assert mine.tokens == its.tokens
        assert mine.energy.uncertainty_j == pytest.approx(its.energy.uncertainty_j)
        assert mine.inference_s == pytest.approx(its.inference_s)
    for part in ("ttft_ms", "itl_ms", "e2e_ms"):
        assert many.latency[part] == one.latency[part]


def drop_entry(run):
    lines = (run / LOG).read_text().splitlines(keepends=True)
    (run / LOG).write_text("".join(lines[:-1]))


def drop_process(run):
    drop_entry(run)
    (run / place(2)).unlink()


def repeat_entry(run):
    lines = (run / LOG).read_text().splitlines(keepends=True)
    (run / LOG).write_text("".join([*lines, lines[0]]))


def spoil_entry(run):
    lines = (run / LOG).read_text().splitlines(keepends=True)
    (run / LOG).write_text("".join([*lines[:-1], lines[-1][:20]]))


def spoil_file(run):
    path = run / place(1)
    path.write_bytes(path.read_bytes()[:-9])


def swap_files(run):
    text = (run / LOG).read_text()
    (run / LOG).write_text(text.replace('"index": 2', '"index": 5'))


WRONG = {
    "a missing index": (drop_process, "2 of 3 processes: process 2 is missing"),
    "a duplicate index": (repeat_entry, "process 0 is completed twice"),
    "a wrong count": (lambda run: raw_runs.share(run, 2), "process 2 is none of them"),
    "a corrupt entry": (spoil_entry, f"line 3 of {LOG} is no entry"),
    "a result without entry": (drop_entry, f"{place(2)} has no entry in {LOG}"),
    "an entry without result": (
        lambda run: (run / place(2)).unlink(),
        f"{place(2)} is completed and is not there",
    ),
    "a changed result": (spoil_file, f"{place(1)} is not what was completed"),
    "another's result": (swap_files, f"{place(2)} is of process 2, not 5"),
    "no log": (lambda run: (run / LOG).unlink(), f"{LOG} cannot be read: No such file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_whole_fails_alone_and_is_named(name, tmp_path):
    """Each fault by itself, by default."""
    run = raw_runs.write(tmp_path / "run", raw_runs.some(6), 3)
    aggregate(run)
    spoil, told = WRONG[name]
    spoil(run)
    with pytest.raises(AggregationError) as error:
        aggregate(run)
    assert told in str(error.value)
    assert str(run) in str(error.value)
    assert error.value.kind == "aggregation"


def test_what_is_shared_must_be_there(tmp_path):
    """Even where a part is enough: nobody knows what was run."""
    run = raw_runs.write(tmp_path / "run", raw_runs.some(2), 2)
    (run / RUN).write_text('{"processes": 2}')
    with pytest.raises(AggregationError, match=r"run\.json cannot be read: record: "):
        aggregate(tmp_path, partial=True)
    with pytest.raises(AggregationError, match="no run in it"):
        aggregate(run / "000")


def test_a_part_says_that_it_is_one(tmp_path):
    """With what is missing of it; the sums are those of the processes there."""
    run = raw_runs.write(tmp_path / "run", raw_runs.some(6), 3)
    drop_process(run)
    record = aggregate(run, partial=True)
    cycle = only_cycle(record)
    assert (cycle.aggregation["partial"], cycle.aggregation["missing"]) == (True, [2])
    assert "partial" in record.experiments[0].flags
    assert cycle.metrics["energy_gross_j"] == pytest.approx(20.0)
    failed = [row for row in cycle.aggregation["checks"] if not row["passed"]]
    assert [row["check"] for row in failed] == ["count"]


def with_other(tmp_path, **changed):
    """A run of two processes, of which the second says something else of itself."""
    run = raw_runs.write(tmp_path / "run", raw_runs.some(4), 2)
    alien = raw_runs.write(tmp_path / "x", raw_runs.some(4), 2, **changed)
    lines = (run / LOG).read_text().splitlines(keepends=True)[:1]
    lines += (alien / LOG).read_text().splitlines(keepends=True)[1:]
    (run / LOG).write_text("".join(lines))
    (alien / place(1)).replace(run / place(1))
    return run


def test_backends_are_not_mixed_unasked(tmp_path):
    """The list of them is in the error, and a flag in what comes of asking."""
    run = with_other(tmp_path, backend="tensorrt")
    with pytest.raises(AggregationError, match=r"\(tensorrt, vllm\)"):
        aggregate(run)
    cycle = only_cycle(aggregate(run, mixed=True))
    assert cycle.aggregation["backends"] == ["tensorrt", "vllm"]
    assert "mixed_backends" in cycle.flags


def test_machines_are_not_mixed(tmp_path):
    """Their clocks are not the same."""
    run = with_other(tmp_path, host="another")
    with pytest.raises(AggregationError, match=r"several machines \(another, h\)"):
        aggregate(run, partial=True, mixed=True)


def test_a_gpu_of_two_processes_is_refused(tmp_path):
    """Its energy would be in the sum twice."""
    run = raw_runs.write(tmp_path / "run", raw_runs.some(4), 2, devices=["GPU-7"])
    with pytest.raises(AggregationError, match="GPU-7 is of processes 0, 1"):
        aggregate(run, partial=True)


def test_processes_that_took_turns_are_flagged(tmp_path):
    """All at work for half of the time of the shortest is usual."""
    apart = [raw_runs.request_of(100, [500.0]), raw_runs.request_of(100.3, [400.0])]
    cycle = only_cycle(aggregate(raw_runs.write(tmp_path / "a", apart, 2)))
    assert cycle.aggregation["overlap"] == pytest.approx(0.5)
    assert "processes_apart" not in cycle.flags
    apart[1] = raw_runs.request_of(100.4, [400.0])
    cycle = only_cycle(aggregate(raw_runs.write(tmp_path / "b", apart, 2)))
    assert cycle.aggregation["overlap"] == pytest.approx(0.25)
    assert "processes_apart" in cycle.flags


def test_net_energy_is_without_the_idle_power_of_the_session(tmp_path):
    """Over the time of all; of a part there is none, nor where the session had none."""
    idle = {"state": "model_loaded", "power_w": 20.0, "uncertainty_w": 1.0}
    idle |= {"std_w": 0.5, "samples": 9, "duration_s": 5.0, "method": "c", "age_s": 0.1}
    run = raw_runs.write(tmp_path / "run", raw_runs.some(6), 3)
    raw_runs.share(run, 3, idle=idle)
    cycle = only_cycle(aggregate(run))
    net_j = 30.0 - 20.0 * cycle.windows[0].duration_s
    assert cycle.metrics["energy_net_j"] == pytest.approx(net_j)
    raw_runs.share(run, 3, idle=idle, nulls={"windows.energy.net_j": "idle_drift"})
    cycle = only_cycle(aggregate(run))
    assert cycle.metrics["energy_net_j"] is None
    assert cycle.nulls["energy_net_j"] == "idle_drift"
    raw_runs.share(run, 3, idle=idle)
    drop_process(run)
    cycle = only_cycle(aggregate(run, partial=True))
    assert cycle.metrics["energy_net_j"] is None
    assert cycle.nulls["energy_net_j"] == "partial: idle power is of all GPUs"


def test_cycles_of_a_session_become_one_experiment(tmp_path):
    """All that were asked for, or it is said which is not there."""
    for index in range(3):
        run = raw_runs.write(tmp_path / f"cycle-{index}", raw_runs.some(4), 2)
        raw_runs.share(run, 2, cycles=3, index=index)
    record = aggregate(tmp_path)
    assert record.experiments[0].summary["energy_gross_j"].n == 3
    assert record.session.status == "complete"
    (tmp_path / "cycle-1").rename(tmp_path.parent / "away")
    with pytest.raises(AggregationError, match=r"cycle 1 of t\.py::test is not there"):
        aggregate(tmp_path)
    assert aggregate(tmp_path, partial=True).session.status == "interrupted"


def test_sessions_are_not_mixed(tmp_path):
    """They are named, since each may be aggregated."""
    for name in ("a", "b"):
        raw_runs.write(tmp_path / name, raw_runs.some(2), 1, session=f"session-{name}")
    with pytest.raises(AggregationError, match=r"session-a, session-b"):
        aggregate(tmp_path)


def test_each_check_is_logged(tmp_path, caplog):
    """With the run and what was looked at, in the order of the record's checks."""
    run = raw_runs.write(tmp_path / "run", raw_runs.some(4), 2)
    with caplog.at_level(logging.INFO, "pytest_lem.records.raw"):
        cycle = only_cycle(aggregate(run))
    rows = cycle.aggregation["checks"]
    assert caplog.messages == [f"{run}: {one['check']}: {one['told']}" for one in rows]
    names = "entries duplicates files count content backends clock devices overlap"
    assert [one["check"] for one in rows] == names.split()


def test_a_directory_has_at_most_a_thousand_entries(tmp_path):
    """However many processes there were, and with a draft beside each file."""
    folders = {}
    for index in range(3000):
        folder, _, name = place(index).partition("/")
        folders.setdefault(folder, set()).add(name)
    assert sum(map(len, folders.values())) == 3000
    assert max(map(len, folders.values())) <= 500


def test_two_aggregations_at_once_find_the_same(tmp_path):
    """Each waits for a writer, and for the other; a report is moved in place whole."""
    run = raw_runs.write(tmp_path / "run", raw_runs.some(20), 4)
    with ThreadPoolExecutor() as threads:
        with locked(run):
            both = [threads.submit(aggregate, run) for _ in range(2)]
            assert not wait(both, timeout=0.3).done
            log = (run / LOG).read_bytes()
            drop_entry(run)
            assert not wait(both, timeout=0.1).done
            (run / LOG).write_bytes(log)
        first, second = (one.result(60) for one in both)
    assert first == second == aggregate(run)


def test_the_command_tells_what_is_wrong_in_one_line(tmp_path):
    """And writes what comes of a part only where that is asked for."""
    run = raw_runs.write(tmp_path / "run", raw_runs.some(4), 2)
    (run / place(1)).unlink()
    report = str(tmp_path / "r.json")
    arguments = ["aggregate", str(run), "-o", report]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert f"{place(1)} is completed and is not there" in refused.output
    assert not Path(report).exists()
    done = CliRunner().invoke(app, [*arguments, "--allow-partial"])
    assert done.output.endswith("1 experiments, 1 cycles, 1 processes (partial)\n")
    told = json.loads(Path(report).read_text())["experiments"][0]["cycles"][0]
    assert told["aggregation"]["partial"] is True
