"""What is left behind: terminal, JUnit, JSON, CSV and the journal."""

import csv
import json
import re
import xml.etree.ElementTree as ET

import pytest

from pytest_lem.records.export import columns

SOURCE = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size):
    lem()
"""

METERED = ("--lem-meter=fake:100", "--lem-set=fake.token_s=0.05")


def test_header_says_what_will_be_measured(run):
    """Version, backend, meter, GPUs, counts, order, seed and reports."""
    result = run(SOURCE, *METERED, "--lem-order=reversed", "--lem-json=r.json")
    result.stdout.fnmatch_lines(
        [
            "lem *: fake; meter fake (synthetic); GPUs: none",
            "lem plan: 2 experiments, 4 cycles reversed, *seed 42*",
            "lem reports: r.json",
        ]
    )


def test_headline_is_inline_under_v(run):
    """-v shows each experiment's number with interval and cycles, in its line."""
    result = run(SOURCE, "-v", *METERED, "-k", "fake-1")
    result.stdout.fnmatch_lines(
        ["test_it.py::test_it[[]fake-1] PASSED ~3.75 J/token ±0.0 %, 2 cycles *"]
    )


def test_headline_without_energy_is_speed(run):
    """Where no energy exists the headline is the throughput."""
    result = run(SOURCE, "-v", "-k", "fake-1")
    result.stdout.fnmatch_lines(["*test_it[[]fake-1] PASSED 1333 token/s*2 cycles*"])


def test_headline_shows_no_interval_for_one_cycle(run):
    """One cycle has no spread, and none is shown."""
    result = run(SOURCE, "-v", "-k", "fake-1", "--lem-cycles=1")
    result.stdout.fnmatch_lines(["*PASSED 1333 token/s, 1 cycle *"])


def test_intervals_and_limits_are_as_asked(run, pytester):
    """In the report and in the result that a test sees."""
    source = SOURCE.replace("    lem()", "    assert lem().duration_s.n")
    pytester.makeini("[pytest]\nlem_bootstrap = 100\nlem_max_cv = 0.0001\n")
    run(source, *METERED, "--lem-ci=bca", "--lem-json=r.json", "-k", "fake-1")
    one = json.loads((pytester.path / "r.json").read_bytes())["experiments"][0]
    assert one["summary"]["output_throughput_tps"]["ci_method"] == "bca"
    assert {"narrow_interval", "few_cycles"} <= set(one["flags"])
    wrong = run(SOURCE, "--lem-ci=normal")
    wrong.stderr.fnmatch_lines(["*--lem-ci='normal' is none of t, bootstrap, bca*"])


def test_the_page_is_written_beside_the_other_reports(run, pytester):
    """`--lem-html`; where its libraries are not there, nothing is measured for it."""
    result = run(SOURCE, *METERED, "-k", "fake-1", "--lem-html=page.html")
    result.stdout.fnmatch_lines(["lem reports: page.html", "report: page.html"])
    assert "test_it[fake-1]" in (pytester.path / "page.html").read_text()
    pytester.makeconftest(
        "from importlib import import_module\n"
        "libraries = import_module('pytest_lem.report.html.libraries')\n"
        "libraries.find_spec = lambda name: None\n"
    )
    refused = run(SOURCE, *METERED, "--lem-html=page.html")
    refused.stderr.fnmatch_lines(
        ["*--lem-html: an HTML report needs jinja2: pip install 'pytest-lem[[]report]'"]
    )


def test_the_summary_table_has_one_row_per_experiment(run):
    """Energy with interval, net energy, speed, TTFT, power, n and flags with legend."""
    result = run(
        SOURCE.replace("mark.lem", "mark.lem(streaming=True)"),
        *METERED,
        "--lem-set=fake.prefill_s=0.02",
        "--lem-set=fake.token_s=0.04",
        "--lem-set=streaming_warmup_requests=0",
        "--lem-idle=auto",
        "-o",
        "lem_idle_seconds=1",
        "--lem-cycles=1",
        "--lem-windows=8",
        "-k",
        "fake-1",
    )
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(
        [
            "=* lem =*",
            "*experiment *J/token *net J/token *tokens/s *TTFT ms * W * n * flags*",
            "*test_it[[]fake-1] *~3.5 *28.57 * 20 *~100 * 1 *",
            "flag 1 fake_engine: the engine is a script",
            "flag * synthetic_energy: energy comes from a fake meter",
        ]
    )


def test_no_summary_and_q_are_honoured(run):
    """--no-summary leaves the table out; -q leaves the header out and keeps it."""
    run(SOURCE, "--no-summary").stdout.no_fnmatch_line("*= lem =*")
    result = run(None, "-q")
    result.stdout.no_fnmatch_line("lem plan:*")
    result.stdout.fnmatch_lines(["=* lem =*"])


def test_junit_has_the_numbers_once(run, project):
    """Each test case carries the pooled metrics and the flags as properties."""
    run(SOURCE, *METERED, "--junitxml=j.xml")
    cases = list(ET.parse(project.path / "j.xml").getroot().iter("testcase"))
    assert len(cases) == 2
    for case, tokens in zip(cases, (4, 8), strict=True):
        pairs = [(p.get("name"), p.get("value")) for p in case.iter("property")]
        found = dict(pairs)
        assert len(found) == len(pairs)
        tps = float(found["lem_output_throughput_tps"])
        assert tps == pytest.approx(tokens / 0.15)
        joules = float(found["lem_energy_gross_j"])
        assert joules == pytest.approx(100 * 0.15)
        assert "synthetic_energy" in found["lem_flags"].split()


def test_the_json_report_is_a_valid_record(run, report, project):
    """The report reads back by the models and by the JSON Schema that ships."""
    run(SOURCE, *METERED, "--lem-json=r.json").assert_outcomes(passed=2)
    record = report()
    assert record.session.status == "complete"
    assert record.schema_version == "3.0"
    assert [one.id for one in record.experiments] == [
        "test_it.py::test_it[fake-1]",
        "test_it.py::test_it[fake-2]",
    ]
    for one in record.experiments:
        assert one.synthetic
        assert [c.status for c in one.cycles] == ["complete"] * 2
        assert one.summary["energy_per_output_token_j"].n == 2
    text = (project.path / "r.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert not list(project.path.glob("*.part"))


def test_csv_has_the_fixed_columns(run, project):
    """One row per experiment, always the same columns, empty cells for no value."""
    rows = {}
    still = ("--lem-meter=none", METERED[1])
    for name, arguments in (("with", METERED), ("without", still)):
        files = ("--lem-csv=r.csv", "--lem-csv-cycles=c.csv")
        run(SOURCE, *arguments, *files).assert_outcomes(passed=2)
        with (project.path / "r.csv").open(newline="") as file:
            reader = csv.DictReader(file)
            rows[name] = list(reader)
            assert reader.fieldnames == columns()
    with_, without = rows["with"], rows["without"]
    assert [row["batch_size"] for row in with_] == ["1", "2"]
    assert float(with_[0]["energy_per_output_token_j"]) == pytest.approx(3.75)
    assert without[0]["energy_per_output_token_j"] == ""
    assert without[0]["identity"] == with_[0]["identity"] != with_[1]["identity"]
    with (project.path / "c.csv").open(newline="") as file:
        told = [(row["batch_size"], row["cycle"]) for row in csv.DictReader(file)]
    assert told == [("1", "0"), ("1", "1"), ("2", "0"), ("2", "1")]


def test_the_journal_has_each_cycle_as_soon_as_it_exists(run, journal):
    """The second cycle of a test can read the first from the disk."""
    source = """
    import json
    from pathlib import Path
    import pytest

    @pytest.mark.lem
    def test_it(lem):
        found = list(Path(".lem/sessions").glob("*/cycles.jsonl"))
        lines = found[0].read_text().splitlines() if found else []
        result = lem()
        if len(result.cycles) < len(lines) + 1:
            raise RuntimeError("the journal is ahead")
        if len(result.cycles) > len(lines) + 1:
            raise RuntimeError("the journal is behind")
        if lines:
            told = json.loads(lines[0])
            assert told["experiment_id"] == "test_it.py::test_it[fake]"
            assert told["cycle"]["started_at"] == result.cycles[0].started_at
    """
    run(source, "--lem-cycles=3").assert_outcomes(passed=1)
    assert [one["cycle"]["index"] for one in journal()] == [0, 1, 2]


def test_a_failed_cycle_is_recorded_and_left_out(run, report, journal):
    """A failure in a later cycle has its kind in the record; the numbers exclude it."""
    source = """
    import pytest

    @pytest.mark.lem(fake={"fail_at": "generate", "good_passes": 2}, windows=2)
    def test_fails(lem):
        lem()

    @pytest.mark.lem(fake={"fail_at": "generate", "fail_kind": "out_of_memory"})
    def test_memory(lem):
        lem()

    @pytest.mark.lem
    def test_works(lem):
        lem()
    """
    result = run(
        source, "--lem-set=streaming=false", "--lem-json=r.json", "--lem-csv=r.csv"
    )
    result.assert_outcomes(passed=2, failed=1)
    fails, memory, works = report().experiments
    assert [c.status for c in fails.cycles] == ["complete", "complete"]
    assert [c.status for c in memory.cycles] == ["failed"]
    assert memory.cycles[0].error.kind == "out_of_memory"
    assert "the script fails at generate" in memory.cycles[0].error.message
    assert memory.excluded == [{"cycle": 0, "cause": "out_of_memory"}]
    assert memory.summary == {}
    assert memory.nulls["summary.output_throughput_tps"]
    assert len(works.cycles) == 2
    kinds = [(one["cycle"]["error"] or {}).get("kind") for one in journal()]
    assert sorted(filter(None, kinds)) == ["out_of_memory"]


def test_a_cycle_that_fails_late_leaves_the_numbers_of_the_others(run, report):
    """Cycle 2 loses its worker: it is kept with its error; the summary is cycle 1."""
    source = """
    import os, signal
    from pathlib import Path
    import pytest

    def worker():
        me = os.getpid()
        for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split():
            if "pytest_lem.worker" in Path(f"/proc/{pid}/cmdline").read_text():
                return int(pid)

    turns = iter(range(3))

    @pytest.mark.lem(cycles=3)
    def test_it(lem, engine):
        engine.generate(["hi"], output_tokens=1)
        if next(turns) == 1:
            os.kill(worker(), signal.SIGKILL)
        lem()
    """
    result = run(source, "--lem-json=r.json")
    result.assert_outcomes(failed=1)
    (one,) = report().experiments
    assert [c.status for c in one.cycles] == ["complete", "failed"]
    assert one.cycles[1].error.kind == "worker_died"
    assert one.excluded == [{"cycle": 1, "cause": "worker_died"}]
    assert one.summary["output_throughput_tps"].n == 1


def test_an_interrupt_keeps_what_was_measured(run, report, project):
    """KeyboardInterrupt in a body: exit code 2, a report with the cycles so far."""
    source = """
    import pytest

    @pytest.mark.lem
    @pytest.mark.parametrize("batch_size", [1, 2, 3])
    def test_it(lem, batch_size):
        if batch_size == 3:
            raise KeyboardInterrupt
        lem()
    """
    result = project.runpytest_subprocess(
        project.makepyfile(test_it=source), "--lem-json=r.json", "--lem-csv=r.csv"
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    record = report()
    assert record.session.status == "interrupted"
    assert [len(one.cycles) for one in record.experiments] == [1, 1]
    assert record.plan.planned == 6
    assert len(record.plan.executed) == 2
    assert (project.path / "r.csv").read_text().count("\n") == 3
    result.stdout.fnmatch_lines(["=* lem =*"])


def test_exitfirst_writes_the_report_of_what_ran(run, report):
    """A session that -x ends early still writes what was measured."""
    source = SOURCE.replace("lem()", "lem()\n    raise ValueError")
    run(source, "-x", "--lem-json=r.json").assert_outcomes(failed=1)
    record = report()
    assert [len(one.cycles) for one in record.experiments] == [1]


def test_an_older_report_is_replaced_only_by_a_whole_one(run, project):
    """A session that measures nothing leaves an older report as it is."""
    (project.path / "r.json").write_text("older")
    run(SOURCE, "--lem-json=r.json", "-k", "nothing")
    run(None, "--lem-json=r.json", "--lem-plan")
    assert (project.path / "r.json").read_text() == "older"
    run(None, "--lem-json=r.json")
    assert json.loads((project.path / "r.json").read_text())["experiments"]


def test_plan_prints_counts_and_runs_nothing(run, project, notes):
    """--lem-plan shows the cycles in their order; no body, no engine, no file."""
    source = """
    import pytest

    @pytest.mark.lem
    @pytest.mark.parametrize("batch_size", [1, 2])
    def test_it(lem, batch_size, note):
        note("body")
        lem()

    def test_plain(note):
        note("plain")
    """
    result = run(source, "--lem-plan", "--lem-cycles=3", "--lem-json=r.json")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "lem plan: 2 experiments, 6 cycles, interleaved, no gaps, seed 42; *run",
            "estimated time: *",
            "*1  cycle 1  test_it.py::test_it[[]fake-1]",
            "*2  cycle 1  test_it.py::test_it[[]fake-2]",
            "*6  cycle 3  test_it.py::test_it[[]fake-2]",
        ]
    )
    assert notes() == []
    assert not (project.path / ".lem").exists()
    assert not (project.path / "r.json").exists()


def test_plan_works_where_engine_and_meter_do_not(run):
    """A plan needs neither the engine's library nor the meter's device."""
    result = run(
        SOURCE,
        "--lem-plan",
        "--lem-backend=transformers",
        "--lem-meter=replay:nix.json",
    )
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*2 experiments, 4 cycles*"])


def test_live_progress_is_silent_without_a_terminal(run):
    """Captured output has no progress lines and no escape sequences."""
    result = run(SOURCE, "-v")
    assert not any("lem: " in line or "\r" in line for line in result.outlines)
    assert "\x1b[2K" not in result.stdout.str()


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("meter", ["none", "fake"])
@pytest.mark.parametrize("idle", ["off", "auto"])
def test_any_lack_gives_a_valid_report(run, report, project, streaming, meter, idle):
    """Without energy, stream or idle power: valid JSON, CSV, and nulls with reasons."""
    run(
        SOURCE.replace("mark.lem", f"mark.lem(streaming={streaming})"),
        f"--lem-meter={meter}",
        f"--lem-idle={idle}",
        "-o",
        "lem_idle_seconds=1",
        "-k",
        "fake-1",
        "--lem-cycles=1",
        "--lem-set=fake.token_s=0.01",
        "--lem-set=streaming_warmup_requests=0",
        "--lem-json=r.json",
        "--lem-csv=r.csv",
    ).assert_outcomes(passed=1, deselected=1)
    (one,) = report().experiments
    there = one.summary.keys()
    assert ("energy_per_output_token_j" in there) == (meter == "fake")
    assert ("ttft_p50_ms" in there) == streaming
    assert ("idle_power_w" in there) == (meter == "fake" and idle == "auto")
    for cycle in one.cycles:
        for name, value in cycle.metrics.items():
            assert (value is None) == (name in cycle.nulls), name
    assert len((project.path / "r.csv").read_text().splitlines()) == 2


def test_a_failure_shows_the_test_s_line_and_what_went_wrong(run):
    """No frame of the plugin stands between the test and the engine's failure."""
    source = """
    import pytest

    @pytest.mark.lem(fake={"fail_at": "load", "fail_kind": "engine_load"})
    def test_it(lem):
        lem()
    """
    done = run(source)
    done.assert_outcomes(failed=1)
    frames = [line for line in done.outlines if re.match(r"\S+\.py:\d+: ", line)]
    assert frames == ["test_it.py:5: EngineLoadError"]
    done.stdout.fnmatch_lines(["E *EngineLoadError: *the script fails at load*"])
    done.stdout.no_fnmatch_line("no energy:*")
