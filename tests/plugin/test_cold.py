"""Cold starts: a process for each cycle, nothing warmed up, never beside a warm run."""

import pytest

SOURCE = """
import pytest

@pytest.mark.lem(cold_start=True, windows=4, warmup="fixed:3")
def test_cold(lem, engine, note):
    engine.generate(["warms another process"], output_tokens=1)
    result = lem()
    note(result.load_duration_s.n)

@pytest.mark.lem(warmup="fixed:1")
def test_warm(lem):
    lem()

@pytest.mark.lem(cold_start=True, batch_size=2)
def test_colder(lem):
    lem()
"""


def test_each_cycle_is_the_first_pass_of_a_process(run, notes, report):
    """Whatever used the spec before; the load is told, and the effort as it was."""
    arguments = ("--lem-meter=fake:50", "--lem-json=r.json")
    result = run(SOURCE, *arguments)
    result.assert_outcomes(passed=3)
    first, warm, second = report().experiments
    pids = [[c.worker["pid"] for c in one.cycles] for one in (first, second)]
    assert len({pid for of in pids for pid in of}) == 4
    assert [one.cold for one in (first, warm, second)] == [True, False, True]
    for cycle in first.cycles:
        assert (cycle.warmup, len(cycle.windows)) == (None, 1)
        assert cycle.load["start_s"] > 0
        assert cycle.load["energy_j"] > 0
        assert "cold_start" in cycle.flags
    assert [len(c.windows) for c in warm.cycles] == [1, 1]
    assert "cold_start" not in warm.flags
    effort = first.spec["effort"]
    assert (effort["windows"], effort["warmup"]) == (1, "off")
    assert first.provenance["warmup"] == first.provenance["windows"] == "marker"
    assert notes() == ["1", "2"]
    result.stdout.fnmatch_lines(
        ["Cold: the first pass *", "*", " experiment *start s *load s *load J"]
    )


def test_the_option_makes_all_of_them_cold(run, report):
    """A marker's False loses to it."""
    source = SOURCE.replace('"fixed:1"', '"fixed:1", cold_start=False')
    arguments = ("--lem-cold-start", "--lem-cycles=1", "--lem-json=r.json")
    run(source, *arguments, "-k", "warm")
    (one,) = report().experiments
    assert one.cold
    assert one.provenance["cold_start"] == one.provenance["warmup"] == "cli"


def test_what_would_be_warm_is_refused(run, errors_of):
    """Streamed requests come later than the cold pass; so does a second window."""
    source = """
    import pytest

    @pytest.mark.lem(cold_start=True, streaming=True)
    def test_streams(lem):
        lem()

    @pytest.mark.lem(cold_start="yes")
    def test_maybe(lem):
        lem()
    """
    told = errors_of(run(source))
    assert len(told) == 2
    assert "test_streams[fake]: cold_start: streaming sends its requests" in told[0]
    assert "test_maybe[fake]: cold_start='yes' is neither true nor false" in told[1]


def test_a_loop_of_its_own_has_one_cold_window(run):
    """The second fails its test, in one line."""
    source = """
    import pytest

    @pytest.mark.lem(cold_start=True)
    def test_loop(lem, engine):
        for _ in range(2):
            with lem.window() as w:
                w.count(engine.generate([[1, 2]], output_tokens=2))
    """
    result = run(source)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*cold_start: only the first window after a load*"])


@pytest.mark.slow
def test_a_real_engine_is_loaded_for_each_cycle(run, report):
    """Its load is told each time; a warm run of the same work has the same identity."""
    source = """
    import pytest

    pytestmark = pytest.mark.lem(input_tokens=16, output_tokens=8)

    @pytest.mark.lem(cold_start=True)
    def test_cold(lem):
        lem()

    @pytest.mark.lem(warmup="fixed:2")
    def test_warm(lem):
        lem()
    """
    arguments = ("-o", "lem_set=", "--lem-backend=transformers", "--lem-json=r.json")
    run(source, *arguments).assert_outcomes(passed=2)
    cold, warm = report().experiments
    pids = {cycle.worker["pid"] for cycle in cold.cycles}
    assert len(pids) == len(cold.cycles) == 2
    assert pids == {cycle.worker["pid"] for cycle in warm.cycles}
    assert all(cycle.load["start_s"] > 1 for cycle in cold.cycles)
    assert cold.summary["load_duration_s"].n == 2
    assert cold.identity == warm.identity
