"""`--lem-require-exclusive` from the front door, on a simulated GPU."""

import pytest

CONFTEST = """
def pytest_lem_register_engines(registry):
    from pytest_lem.engines.registry import EngineEntry
    registry.add(EngineEntry(name="odd", target="odd_engine:Odd"))
"""
ENGINE = """
from dataclasses import replace
from pytest_lem.engines.fake import FakeEngine

class Odd(FakeEngine):
    def load(self, spec):
        return replace(super().load(spec), devices=["cuda:0"])
"""
SOURCE = "def test_it(lem):\n    lem()\n"


@pytest.fixture
def run_on_gpu(run, project, driver, monkeypatch):
    """Run one experiment on GPU-0, with these processes on it."""

    def run_on_gpu(processes, *arguments):
        simulated = driver([300.0])
        simulated.processes = {0: processes}
        project.makeconftest(CONFTEST)
        project.makepyfile(odd_engine=ENGINE)
        monkeypatch.setenv("PYTHONPATH", str(project.path), prepend=":")
        options = ("--lem-backend=odd", "--lem-meter=fake", "--lem-json=r.json")
        return run(SOURCE, *options, *arguments)

    return run_on_gpu


@pytest.mark.parametrize("processes", [[1], []])
def test_the_environment_says_who_was_there_before_the_run(
    run_on_gpu, report, processes
):
    """By name, whatever became of the run: this machine's workers find no CUDA."""
    run_on_gpu(processes)
    (gpu,) = report().environment["gpu"]
    assert [one["name"] for one in gpu["foreign_processes"]] == ["busy-1"][
        : len(processes)
    ]


def test_other_processes_are_a_usage_error_if_asked(run_on_gpu, errors_of):
    """One line, before anything is measured."""
    result = run_on_gpu([1], "--lem-require-exclusive")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors_of(result)
    assert line.startswith("--lem-require-exclusive: a GPU of the run is used by")
    assert line.endswith("1 (busy-1, compute) on GPU-0")
