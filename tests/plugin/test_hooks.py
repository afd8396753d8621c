"""The extension points, as a project's conftest implements them."""

import pytest

ENGINE = """
from pytest_lem.engines.fake import FakeEngine

class Third(FakeEngine):
    def version(self):
        return "3.3"
"""

METER = """
import time
from pytest_lem.meters.fake import FakeMeter

class Wall(FakeMeter):
    name = "wall"

def open_meter(argument, gpus):
    return Wall(float(argument or 50))
"""

SOURCE = """
import pytest

@pytest.mark.lem
def test_it(lem):
    lem()
"""


def test_a_conftest_adds_an_engine(run, extend, project, report):
    """`pytest_lem_register_engines` makes a backend of the project's own module."""
    project.makepyfile(third_engine=ENGINE)
    extend("""
def pytest_lem_register_engines(registry):
    from pytest_lem.engines.registry import EngineEntry
    registry.add(EngineEntry(name="third", target="third_engine:Third", aliases=("3",)))
""")
    result = run(SOURCE, "-v", "--lem-backend=fake,3", "--lem-json=r.json")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*test_it[[]fake] PASSED*", "*test_it[[]third] PASSED*"]
    )
    engines = [one.cycles[0].engine for one in report().experiments]
    assert [one["version"] for one in engines] == ["1", "3.3"]


def test_an_engine_of_a_conftest_takes_its_section(run, extend, project):
    """A third-party engine's options come from the section of its name."""
    project.makepyfile(third_engine=ENGINE)
    extend("""
def pytest_lem_register_engines(registry):
    from pytest_lem.engines.registry import EngineEntry
    registry.add(EngineEntry(name="third", target="third_engine:Third"))
""")
    source = """
    import pytest

    @pytest.mark.lem(third={"prefill_s": 0, "token_s": 0.002}, output_tokens=5)
    def test_it(lem):
        assert lem().output_throughput_tps == pytest.approx(5 / 0.008)
    """
    run(source, "--lem-backend=third").assert_outcomes(passed=1)


def test_an_engine_with_a_taken_name_is_refused(run, extend):
    """A name that is taken is a usage error that names both."""
    extend("""
def pytest_lem_register_engines(registry):
    from pytest_lem.engines.registry import EngineEntry
    registry.add(EngineEntry(name="pytorch", target="x:Y"))
""")
    result = run(SOURCE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*'pytorch' is already the engine *"])


def test_a_conftest_adds_a_meter(run, extend, project, report):
    """`pytest_lem_register_meters` makes a meter known by name."""
    project.makepyfile(wall_meter=METER)
    extend("""
def pytest_lem_register_meters(registry):
    registry.add("wall", "wall_meter:open_meter")
""")
    source = SOURCE.replace("lem()", "assert lem().avg_power_w == pytest.approx(70)")
    result = run(
        source,
        "--lem-meter=wall:70",
        "--lem-set=fake.token_s=0.1",
        "--lem-cycles=1",
        "--lem-json=r.json",
    )
    result.assert_outcomes(passed=1)
    assert [one["name"] for one in report().session.meters] == ["wall"]


def test_an_unknown_meter_lists_those_of_the_project(run, extend):
    """The choices of a misspelt meter have the project's own in them."""
    extend("""
def pytest_lem_register_meters(registry):
    registry.add("wall", "wall_meter:open_meter")
""")
    result = run(SOURCE, "--lem-meter=walll")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*did you mean 'wall'?*"])


def test_a_conftest_adds_facts_of_the_machine(run, extend, report):
    """`pytest_lem_environment` adds groups to the record, once per session."""
    extend("""
def pytest_lem_environment(environment):
    assert "x_rack" not in environment
    environment["x_rack"] = {"slot": 7}
""")
    run(SOURCE, "--lem-json=r.json").assert_outcomes(passed=1)
    assert report().environment["x_rack"] == {"slot": 7}


def test_cycles_are_announced(run, extend, notes):
    """The cycle hooks are called before and after each cycle, failed ones too."""
    extend(
        """
from pathlib import Path

def say(word):
    with Path(__file__).with_name("notes.txt").open("a") as file:
        file.write(word + "\\\\n")

def pytest_lem_cycle_start(item, cycle):
    say(f"start-{item.name}-{cycle}")

def pytest_lem_cycle_finish(item, cycle):
    say(f"finish-{item.name}-{cycle.index}-{cycle.status}")
""".replace("\\\\n", "\\n")
    )
    source = """
    import pytest

    @pytest.mark.lem
    def test_a(lem):
        lem()

    @pytest.mark.lem(fake={"fail_at": "generate"})
    def test_b(lem):
        lem()
    """
    run(source).assert_outcomes(passed=1, failed=1)
    assert notes() == [
        "start-test_a[fake]-0",
        "finish-test_a[fake]-0-complete",
        "start-test_b[fake]-0",
        "finish-test_b[fake]-0-failed",
        "start-test_a[fake]-1",
        "finish-test_a[fake]-1-complete",
    ]


def test_the_finished_record_is_shown_and_may_grow(run, extend, notes):
    """`pytest_lem_record` sees each experiment's whole record once."""
    extend("""
from pathlib import Path

def pytest_lem_record(record, item):
    with Path(__file__).with_name("notes.txt").open("a") as file:
        file.write(f"{item.nodeid}:{record.id == item.nodeid}:{len(record.cycles)} ")
""")
    run(SOURCE).assert_outcomes(passed=1)
    assert notes() == ["test_it.py::test_it[fake]:True:2"]
