"""`lem.window()`: a test's own loop as an experiment."""

import pytest

from pytest_lem.records.record import Cycle


def test_windows_are_planned_repeated_and_reported(run, report, journal, notes):
    """Each cycle runs the body; windows, tokens and flags are in report and journal."""
    source = """
    import pytest

    @pytest.mark.lem
    def test_it(lem, engine, note):
        note("body")
        with lem.window() as w:
            w.count(engine.generate(["hello", "world"], output_tokens=5))
        with lem.window() as v:
            out = engine.generate(["hello"], output_tokens=3)
        v.count(out)
        assert (w.output_tokens, v.output_tokens) == (10, 3)
    """
    result = run(source, "--lem-json=r.json", "--lem-cycles=3", "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*test_it*PASSED*3 cycles*"])
    result.stdout.fnmatch_lines(["*custom_loop: the test's own loop was measured*"])
    assert notes() == ["body"] * 3
    (one,) = report().experiments
    assert [cycle.status for cycle in one.cycles] == ["complete"] * 3
    assert "custom_loop" in one.flags
    tokens = [[w.tokens.output for w in cycle.windows] for cycle in one.cycles]
    assert tokens == [[10, 3]] * 3
    assert one.summary["output_throughput_tps"].n == 3
    kept = [Cycle.model_validate(line["cycle"]) for line in journal()]
    assert kept == one.cycles
    assert {line["identity"] for line in journal()} == {one.identity}


def test_identity_is_what_was_counted(run, report):
    """It is that of the node and its work, and the same in another session."""
    source = """
    def test_one(lem, engine):
        with lem.window() as w:
            w.count(engine.generate(["hello"], output_tokens={}))
    """
    found = []
    for output_tokens in (4, 4, 5):
        run(source.format(output_tokens), "--lem-json=r.json").assert_outcomes(passed=1)
        found.append(report().experiments[0].identity)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    "turns",
    ["[[4], [5]]", "[[4], [4, 4]]"],
    ids=["tokens", "windows"],
)
def test_other_work_in_a_later_cycle_is_refused(run, report, turns):
    """Cycles repeat the same work, window by window."""
    source = f"""
    turns = iter({turns})

    def test_it(lem, engine):
        for tokens in next(turns):
            with lem.window() as w:
                w.count(engine.generate(["hello"], output_tokens=tokens))
    """
    result = run(source, "--lem-json=r.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*cycle 1 counted other work than cycle 0*"])
    cycles = report().experiments[0].cycles
    assert [cycle.status for cycle in cycles] == ["complete", "failed"]
    assert cycles[1].error.kind == "config"


@pytest.mark.parametrize(
    ("body", "statuses"),
    [("lem(); lem.window()", ["complete"]), ("measure(); lem()", ["failed"])],
)
def test_lem_and_windows_do_not_mix(run, report, body, statuses):
    """One test measures in one way; the cycle of two ways does not count."""
    source = f"""
    def test_it(lem, engine):
        def measure():
            with lem.window() as w:
                w.count(engine.generate(["hello"], output_tokens=2))
        {body}
    """
    result = run(source, "--lem-json=r.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*by lem() or by its own windows*not both*"])
    cycles = report().experiments[0].cycles
    assert [cycle.status for cycle in cycles] == statuses


def test_an_exception_in_the_body_is_in_the_record(run, report, notes):
    """The cycle is kept as failed, and the experiment ends."""
    source = """
    def test_it(lem, engine, note):
        note("body")
        with lem.window() as w:
            raise ValueError("my own")
    """
    run(source, "--lem-json=r.json").assert_outcomes(failed=1)
    assert notes() == ["body"]
    (cycle,) = report().experiments[0].cycles
    assert (cycle.status, cycle.error.type) == ("failed", "ValueError")
    assert cycle.error.message == "my own"


def test_assertions_on_windows_are_judged_in_the_last_cycle(run, report):
    """An assertion that fails in an earlier cycle is held back; the cycle counts."""
    source = """
    turns = iter([1, 2])

    def test_it(lem, engine):
        with lem.window() as w:
            w.count(engine.generate(["hello"], output_tokens=2))
        assert next(turns) == {}
    """
    run(source.format(2), "--lem-json=r.json").assert_outcomes(passed=1)
    statuses = [cycle.status for cycle in report().experiments[0].cycles]
    assert statuses == ["complete", "complete"]
    run(source.format(1)).assert_outcomes(failed=1)


def test_a_window_knows_its_energy(run):
    """Joules of the block over its tokens, once it has ended."""
    source = """
    import time

    def test_it(lem, engine):
        with lem.window() as w:
            time.sleep(0.3)
            w.count(engine.generate(["hello"], output_tokens=2))
        took_s = (w.end_ns - w.start_ns) / 1e9
        assert abs(w.energy_j - 100 * took_s) < 1e-3 * w.energy_j
    """
    run(source, "--lem-meter=fake:100").assert_outcomes(passed=1)


def test_cycle_hooks_hear_of_windows(project, run, notes):
    """Start and finish are told once a cycle, as for lem()."""
    source = """
    def test_it(lem, engine):
        for _ in range(2):
            with lem.window() as w:
                w.count(engine.generate(["hello"], output_tokens=2))
    """
    hooks = """
    from pathlib import Path

    def write(word):
        with Path(__file__).with_name("notes.txt").open("a") as file:
            file.write(word + chr(10))

    def pytest_lem_cycle_start(item, cycle):
        write(f"start{cycle}")

    def pytest_lem_cycle_finish(item, cycle):
        write(f"finish{cycle.index}-{len(cycle.windows)}")
    """
    project.makeconftest(hooks)
    run(source).assert_outcomes(passed=1)
    assert notes() == ["start0", "finish0-2", "start1", "finish1-2"]


COMPILED = """
import pytest

@pytest.mark.lem(
    input_tokens=8, output_tokens=3, batch_size=3, streaming=True,
    streaming_warmup_requests=0, model="synthetic:llama-tiny",
    transformers={
        "device": "cpu", "torch_compile": True, "torch_compile_backend": "eager",
    },
)
def test_it(lem):
    lem()
"""


def test_requests_one_at_a_time_are_compiled_for_in_the_warm_up(pytester, report):
    """Batches are another shape; no window has to wait for the compiler."""
    pytest.importorskip("transformers")
    pytester.makepyfile(test_it=COMPILED)
    pytester.runpytest_subprocess(
        "--lem-backend=transformers",
        "--lem-meter=none",
        "--lem-idle=off",
        "--lem-cycles=1",
        "--lem-windows=1",
        "--lem-warmup=fixed:2",
        "--lem-json=r.json",
        "-p",
        "no:randomly",
    ).assert_outcomes(passed=1)
    (one,) = report().experiments
    energy, latency = one.cycles[0].windows
    assert (energy.batches, latency.batches) == ([3], [1] * 10)
    assert "compiled_in_window" not in energy.flags + latency.flags
    assert one.cycles[0].load["compile_s"] > 0
