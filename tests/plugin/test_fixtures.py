"""What a test holds in its hands: `lem`, `engine`, `meter` and a result."""

import pytest


def test_late_form_measures_the_workload_it_is_given(run, report):
    """`lem(engine, Workload(...))` measures what the body computed."""
    source = """
    import pytest
    from pytest_lem import Workload

    def test_it(lem, engine):
        result = lem(engine, Workload(input_tokens=3, output_tokens=5, batch_size=2))
        assert result.cycles[-1].windows[0].tokens.output == 10
    """
    run(source, "--lem-json=r.json").assert_outcomes(passed=1)
    (one,) = report().experiments
    assert one.spec["workload"]["output_tokens"] == 5
    assert [w.tokens.input for c in one.cycles for w in c.windows] == [6, 6]


def test_late_form_has_the_identity_of_the_early_form(run, report):
    """The same work is the same experiment, however it was said."""
    source = """
    import pytest
    from pytest_lem import Workload

    @pytest.mark.lem(input_tokens=3, output_tokens=5)
    def test_early(lem):
        lem()

    def test_late(lem, engine):
        lem(engine, Workload(input_tokens=3, output_tokens=5))

    def test_other(lem, engine):
        lem(engine, Workload(input_tokens=3, output_tokens=6))
    """
    run(source, "--lem-json=r.json").assert_outcomes(passed=3)
    early, late, other = (one.identity for one in report().experiments)
    assert early == late
    assert other != late


def test_late_form_refuses_other_work_in_a_later_cycle(run, notes):
    """Cycles repeat the same work: another Workload in cycle 2 is an error."""
    source = """
    import pytest
    from pytest_lem import Workload

    turns = iter([4, 5])

    def test_it(lem, engine, note):
        note("body")
        lem(engine, Workload(input_tokens=4, output_tokens=next(turns)))
    """
    result = run(source)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*cycle 1 measures other work than cycle 0*"])
    assert notes() == ["body", "body"]


@pytest.mark.parametrize("call", ["engine", "workload=Workload()"])
def test_late_form_takes_engine_and_workload_together(run, call):
    """One of the two alone is an error that says so."""
    source = f"""
    import pytest
    from pytest_lem import Workload

    def test_it(lem, engine):
        lem({call})
    """
    result = run(source)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*lem() takes nothing, or an engine and a Workload*"])


def test_engine_generates_exactly_what_is_asked(run):
    """`engine.generate` takes texts and token ids, and gives forced lengths."""
    source = """
    def test_it(engine):
        one, two = engine.generate(["hello", [1, 2, 3]], output_tokens=6)
        assert (one.input_tokens, two.input_tokens) == (5, 3)
        assert (one.output_tokens, two.output_tokens) == (6, 6)
        assert one.token_ns == []
        assert engine.backend == "fake"
        assert [len(text) for text in engine.text([one, two])] == [6, 6]
    """
    result = run(source, "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["test_it.py::test_it[[]fake] PASSED *"])


def test_engine_streams_a_stamp_for_each_token(run):
    """`engine.stream` gives the same tokens with the instant of each."""
    source = """
    def test_it(engine):
        (whole,) = engine.generate(["hello"], output_tokens=6)
        (one,) = engine.stream(["hello"], output_tokens=6)
        assert one.output_ids == whole.output_ids
        assert len(one.token_ns) == 6
        assert one.token_ns == sorted(one.token_ns)
        assert one.sent_ns <= one.token_ns[0] <= one.token_ns[-1] <= one.ended_ns
    """
    run(source).assert_outcomes(passed=1)


def test_engine_alone_runs_once_and_is_no_experiment(run, notes, project):
    """A test of the engine without `lem` is an ordinary test: one run, no report."""
    source = """
    def test_it(engine, note):
        note("body")
        assert engine.generate(["hi"], output_tokens=2)
    """
    result = run(source, "--lem-cycles=3", "--lem-json=r.json")
    result.assert_outcomes(passed=1)
    assert notes() == ["body"]
    assert not (project.path / "r.json").exists()


def test_engine_beside_lem_is_the_measured_one(run, report):
    """`engine` in a measuring test is the worker that the cycle measured."""
    source = """
    import pytest

    @pytest.mark.lem
    def test_it(lem, engine, note):
        engine.generate(["hi"], output_tokens=2)
        lem()
    """
    run(source, "--lem-json=r.json").assert_outcomes(passed=1)
    cycles = report().experiments[0].cycles
    assert [cycle.native["passes"] for cycle in cycles] == [2, 2]
    assert len({cycle.worker["pid"] for cycle in cycles}) == 2


def test_meter_works_alone(project):
    """In a project without marker and engine, `meter` measures spans."""
    project.makefile(".ini", pytest="[pytest]\n")
    project.makepyfile(
        """
        import time

        def test_it(meter):
            with meter.window() as window:
                time.sleep(0.5)
            assert meter.names == ["fake"]
            took_s = window.end_s - window.start_s
            assert abs(window.energy_j - 100 * took_s) <= window.reading.uncertainty_j
            assert window.energy_j > 0
        """
    )
    result = project.runpytest_subprocess("-p", "no:randomly", "--lem-meter=fake:100")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("lem plan*")
    assert not (project.path / ".lem").exists()


def test_meter_without_a_source_is_null_with_a_reason(run):
    """No meter gives no number: NullMetricError says why."""
    source = """
    import pytest
    from pytest_lem import NullMetricError

    def test_it(meter):
        with meter.window() as window:
            with pytest.raises(RuntimeError, match="still open"):
                window.energy_j
        with pytest.raises(NullMetricError, match="no_meter"):
            window.energy_j
    """
    run(source).assert_outcomes(passed=1)


def test_a_null_metric_tells_its_reason(run):
    """A metric that does not exist raises when compared, and `exists` asks."""
    source = """
    import pytest
    from pytest_lem import NullMetricError

    @pytest.mark.lem
    def test_asks(lem):
        energy = lem().energy_per_output_token_j
        assert not energy.exists
        assert "no_meter" in energy.reason
        with pytest.raises(NullMetricError, match="no_meter"):
            float(energy)

    @pytest.mark.lem
    def test_compares(lem):
        assert lem().energy_per_output_token_j < 100
    """
    result = run(source)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*NullMetricError: energy_per_output_token_j does not exist: no_meter*"]
    )


def test_a_metric_is_a_number_with_spread(run):
    """Metrics compare, convert and format like floats, over the cycles so far."""
    source = """
    import pytest

    @pytest.mark.lem(fake={"token_s": 0, "latency_script_s": [0.004]}, input_tokens=2)
    def test_it(lem):
        speed = lem().output_throughput_tps
        assert speed == pytest.approx(1000)
        assert 999 < speed < 1001
        assert f"{speed:.1f}" == "1000.0"
        assert speed.unit == "token/s"
        if speed.n == 2:
            assert speed.samples == pytest.approx([1000, 1000])
            assert speed.low <= speed.value <= speed.high
    """
    run(source).assert_outcomes(passed=1)


def test_a_misspelt_metric_names_the_nearest(run):
    """An unknown attribute of a result ends the test with the nearest metric."""
    source = """
    import pytest

    @pytest.mark.lem
    def test_it(lem):
        lem().output_throughput_tpss
    """
    result = run(source)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*did you mean 'output_throughput_tps'?*"])


def test_items_are_parametrised_over_backends(project):
    """Each backend asked for gives an item; tests without our fixtures stay one."""
    project.makepyfile(
        """
        import pytest

        @pytest.mark.lem
        @pytest.mark.parametrize("batch_size", [1, 2])
        def test_it(lem, batch_size): lem()

        def test_engine(engine): pass

        @pytest.mark.lem(backends=["transformers"])
        def test_one(lem): lem()

        def test_meter(meter): pass

        def test_plain(): pass
        """
    )
    result = project.runpytest_inprocess(
        "--collect-only", "-q", "--lem-backend=fake,pytorch,transformers"
    )
    names = [line.partition("::")[2] for line in result.outlines if "::" in line]
    assert names == [
        "test_it[fake-1]",
        "test_it[fake-2]",
        "test_it[transformers-1]",
        "test_it[transformers-2]",
        "test_engine[fake]",
        "test_engine[transformers]",
        "test_one[transformers]",
        "test_meter",
        "test_plain",
    ]
    result.stdout.fnmatch_lines(["*9/10 tests collected (1 deselected)*"])


def test_the_closest_list_of_backends_wins(run):
    """`backends=[...]` on a test replaces that of its module."""
    source = """
    import pytest

    pytestmark = pytest.mark.lem(backends=["transformers"])

    def test_module(lem):
        lem()

    @pytest.mark.lem(backends=["fake"])
    def test_own(lem):
        lem()
    """
    run(source).assert_outcomes(passed=1, deselected=1)


def test_all_deselected_is_pytests_own_exit_code(run):
    """Where every experiment is for another backend, nothing was selected."""
    source = """
    import pytest

    @pytest.mark.lem(backends=["transformers"])
    def test_it(lem):
        lem()
    """
    assert run(source).ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_methods_and_classes_carry_markers(run, report):
    """Markers of class and method merge, the closest winning, key by key."""
    source = """
    import pytest

    @pytest.mark.lem(output_tokens=3, batch_size=2)
    class TestIt:
        @pytest.mark.lem(output_tokens=5)
        def test_it(self, lem):
            assert lem().cycles
    """
    run(source, "--lem-json=r.json").assert_outcomes(passed=1)
    workload = report().experiments[0].spec["workload"]
    assert (workload["output_tokens"], workload["batch_size"]) == (5, 2)


def test_a_late_workload_finds_its_prompts_beside_the_test_file(project, run, report):
    """A relative prompt file means the same in the late form as in the marker."""
    folder = project.mkdir("below")
    (folder / "asked.txt").write_text("one\ntwo\n")
    (folder / "test_below.py").write_text(
        "import pytest_lem\n"
        "def test_it(lem, engine):\n"
        "    lem(engine, pytest_lem.Workload(prompts='asked.txt', output_tokens=2))\n"
    )
    run(None, "below", "--lem-json=r.json").assert_outcomes(passed=1)
    (one,) = report().experiments
    assert one.cycles[0].prompts["count"] == 2
    assert one.cycles[0].prompts["cut"] == 0
