"""pytest-benchmark's own saving and comparing, on what experiments cost."""

import json

import pytest

SOURCE = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size, note):
    note(batch_size)
    lem()

def test_other(benchmark):
    benchmark.pedantic(int, rounds=3)

def test_plain(note):
    note("plain")
"""
# A meter that says of itself that it measures, of the watts that a test is about, and
# an engine without the flag of a fake one.
PARTS = """
import os
from dataclasses import replace

from pytest_lem.engines.fake import FakeEngine
from pytest_lem.meters.fake import FakeMeter

class Quiet(FakeEngine):
    def load(self, spec):
        return replace(super().load(spec), flags=[])

class Wired(FakeMeter):
    name = "wired"
    basis = "measured"

    def devices(self):
        return [replace(one, scope="cpu") for one in super().devices()]

def open_wired(argument, gpus):
    return Wired(float(os.environ.get("WATTS", 50)))
"""
# It takes pytest-benchmark half a second to ask what CPU this is.
HOOKS = """
import pytest

@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_generate_machine_info(config):
    return {"node": "here", "cpu": {}}

def pytest_lem_register_engines(registry):
    from pytest_lem.engines.registry import EngineEntry
    registry.add(EngineEntry(name="quiet", target="parts:Quiet"))

def pytest_lem_register_meters(registry):
    registry.add("wired", "parts:open_wired")
"""
ENERGY = "energy_per_output_token_j"
SPEED = "1/output_throughput_tps"
MEASURED = ("--lem-backend=quiet", "--lem-meter=wired")


@pytest.fixture(autouse=True)
def measured(project, extend, monkeypatch):
    """An engine and a meter whose numbers count; pytest-benchmark outside of xdist."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    project.makepyfile(parts=PARTS)
    ini = project.path / "pytest.ini"
    ini.write_text(ini.read_text().replace("fake.", "quiet."))
    extend(HOOKS)


@pytest.fixture
def saved(project):
    """The benchmarks of the newest saved run, by their names."""

    def saved():
        path = max(project.path.glob(".benchmarks/*/*.json"))
        found = json.loads(path.read_text())["benchmarks"]
        return {one["fullname"]: one for one in found}

    return saved


def test_joules_per_token_are_saved_compared_and_judged(
    run, saved, report, monkeypatch
):
    """One round for each cycle; other people's benchmarks stand beside them."""
    done = run(SOURCE, *MEASURED, "--benchmark-autosave", "--lem-json=r.json")
    done.assert_outcomes(passed=4)
    done.stdout.fnmatch_lines([f"*benchmark '{ENERGY} [[]J/token]': 2 tests*"])
    done.stdout.no_fnmatch_line("*was not used at all*")
    found = saved()
    assert len(found) == 3
    one = found[f"test_it.py::test_it[quiet-1] {ENERGY}"]
    values = [c.metrics[ENERGY] for c in report().experiments[0].cycles]
    assert (one["stats"]["rounds"], one["stats"]["iterations"]) == (2, 1)
    assert one["stats"]["mean"] == pytest.approx(sum(values) / 2)
    told = one["extra_info"]["lem"]
    assert (told["metric"], told["unit"], told["no_energy"]) == (
        ENERGY,
        "J/token",
        None,
    )
    assert told["identity"] == report().experiments[0].identity

    limits = ("--benchmark-compare", "--benchmark-compare-fail=mean:60%")
    again = (*MEASURED, *limits, "-k", "quiet-1", "--lem-cycles=1")
    assert run(None, *again).ret == pytest.ExitCode.OK
    monkeypatch.setenv("WATTS", "150")
    more = run(None, *again)  # in a process of its own the exit status is 1
    assert more.ret != pytest.ExitCode.OK
    more.stderr.fnmatch_lines(
        [
            f"*test_it[[]quiet-1] {ENERGY}*Field 'mean' has failed*",
            "*PerformanceRegression: Performance has regressed.",
        ]
    )


def test_without_measured_energy_it_is_seconds_and_never_against_joules(
    run, saved, notes
):
    """A run that lost its meter fails where it was to be judged, and else warns."""
    one = ("--lem-backend=quiet", "-k", "quiet-1", "--lem-cycles=1")
    run(SOURCE, *one, "--lem-meter=wired", "--benchmark-save=a")
    found = run(None, *one, "--benchmark-save=b")
    found.assert_outcomes(passed=1, deselected=3)
    ((name, cost),) = saved().items()
    assert name == f"test_it.py::test_it[quiet-1] {SPEED}"
    assert cost["extra_info"]["lem"]["unit"] == "s/token"
    assert cost["extra_info"]["lem"]["no_energy"].startswith("no energy: ")
    done = run(None, *one, "--benchmark-compare=0001")
    done.assert_outcomes(passed=1, deselected=3, warnings=1)
    limit = ("--benchmark-compare=0001", "--benchmark-compare-fail=mean:5%")
    failed = run(None, *one, *limit)
    failed.assert_outcomes(failed=1, deselected=3)
    failed.stdout.fnmatch_lines(
        [f"*saved*has {ENERGY} of this test, and this one has {SPEED}: no energy*"]
    )


@pytest.mark.filterwarnings("ignore:Not saving anything")
def test_its_ways_of_choosing_know_experiments(run, notes):
    """--benchmark-only runs them, --benchmark-skip does not; each cycle runs once."""
    done = run(SOURCE, *MEASURED, "--benchmark-json=b.json", "--benchmark-only")
    done.assert_outcomes(passed=3, skipped=1)
    assert notes() == ["1", "2", "1", "2"]
    done = run(None, *MEASURED, "--benchmark-json=b.json", "--benchmark-skip")
    done.assert_outcomes(passed=1, skipped=3)


def test_what_nothing_measured_says_so_and_what_nobody_asked_for_is_not_told(
    run, project, saved
):
    """The fake engine's seconds are nobody's; a file of YAML has no fixtures to use."""
    project.makefile(".lem.yaml", other="config_name: fake-1\nbackend: fake\n")
    options = ("-k", "fake-1", "--lem-backend=fake", "--lem-cycles=1")
    options += ("-o", "lem_set=input_tokens=4")
    done = run(SOURCE, *options, "--lem-meter=fake", "--benchmark-save=a")
    done.assert_outcomes(passed=2, deselected=3, warnings=1)
    done.stdout.fnmatch_lines(["*nothing for pytest-benchmark * in YAML take no fix*"])
    assert list(saved()) == [f"test_it.py::test_it[fake-1] synthetic_{SPEED}"]
    done = run(None, *options, "--lem-resume", "--benchmark-save=b")
    done.stderr.fnmatch_lines(["*--lem-resume: pytest-benchmark would miss the tests*"])
    done = run(None, *options)
    done.assert_outcomes(passed=2, deselected=3)
    done.stdout.no_fnmatch_line("*benchmark*tests*")
    done = run(None, *options, "-p", "no:benchmark")
    done.assert_outcomes(passed=2, deselected=3)
