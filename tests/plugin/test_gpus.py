"""Which GPUs a run gets, from the front door, on simulated GPUs."""

import pytest

CONFTEST = """
def pytest_lem_register_engines(registry):
    from pytest_lem.engines.registry import EngineEntry
    target = "pytest_lem.engines.fake:FakeEngine"
    registry.add(EngineEntry(name="odd", target=target))
"""
SOURCE = "def test_it(lem):\n    lem()\n"


@pytest.fixture
def refused(run, project, errors_of):
    """Run one experiment that wants a GPU; the line that it is refused with."""

    def refused(*arguments):
        project.makeconftest(CONFTEST)
        options = ("--lem-backend=odd", "--lem-meter=fake", *arguments)
        result = run(SOURCE, *options)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        (line,) = errors_of(result)
        return line

    return refused


def test_a_driver_that_does_not_answer_is_no_silent_cpu(refused, driver, monkeypatch):
    """As after an update of the driver: GPUs are here, and nobody can tell which."""
    simulated = driver([300.0])

    def mismatch():
        raise simulated.NVMLError(18)

    monkeypatch.setattr(simulated, "nvmlInit", mismatch)
    told = refused()
    assert told == (
        "the NVIDIA driver refuses (code 18); `lem doctor` helps, or ask for the CPU"
    )


def test_variables_that_hide_every_gpu_are_no_silent_cpu(refused, driver, monkeypatch):
    """The line says which variable, and what to do."""
    driver([300.0, 300.0])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert refused().startswith("CUDA_VISIBLE_DEVICES=7 hides all 2 GPUs")


def test_several_mig_instances_are_refused_before_anything_starts(refused, driver):
    """CUDA would show an engine the first one only."""
    driver([300.0], mig={0})
    told = refused("--lem-gpus=0,1")
    assert told.startswith("CUDA gives a process one MIG instance, not 2 (MIG-0-0,")
