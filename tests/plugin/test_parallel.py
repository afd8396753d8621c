"""`pytest -n` from the front door: real workers of xdist, on simulated GPUs."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ENGINES = """
def pytest_lem_register_engines(registry):
    from pytest_lem.engines.registry import EngineEntry
    registry.add(EngineEntry(name="odd", target="odd_engine:Odd"))
"""
ODD = """
from dataclasses import replace
from pytest_lem.engines.fake import FakeEngine

class Odd(FakeEngine):
    def load(self, spec):
        return replace(super().load(spec), devices=["cuda:0"])
"""
# Named as the simulated CUDA names them: 28282828-..., 29292929-..., from device 40 on.
NVML = """
import sys, uuid
from tests.driver import Driver

class Named(Driver):
    def nvmlDeviceGetUUID(self, handle):
        return f"GPU-{uuid.UUID(bytes=bytes([40 + handle]) * 16)}"

    def nvmlDeviceGetHandleByUUID(self, uuid):
        uuid = uuid.decode() if isinstance(uuid, bytes) else uuid
        return int(uuid[4:6], 16) - 40

sys.modules[__name__] = Named([100.0, 300.0, 500.0])
"""
SOURCE = """
import pytest

@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size):
    lem()

def test_plain():
    pass
"""


@pytest.fixture
def xdist(project, extend, monkeypatch):
    """Run the project with workers of xdist."""
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", str(root), prepend=":")
    monkeypatch.setenv("LEM_CACHE_DIR", str(project.path / "cache"))
    for name in ("PYTEST_XDIST_WORKER", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    # The plugins of others are imported by three processes, and prove nothing here.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "xdist.plugin,pytest_lem.plugin")

    def xdist(*arguments, source=SOURCE):
        project.makepyfile(test_it=source)
        return project.runpytest_subprocess("-n2", *arguments)

    return xdist


@pytest.fixture
def gpus(project, extend, cuda_driver, monkeypatch):
    """Three simulated GPUs, and an engine that runs on the first that it is given."""
    extend(ENGINES)
    project.makepyfile(odd_engine=ODD, pynvml=NVML)
    monkeypatch.setenv("LEM_TEST_RETAINED", str(cuda_driver / "retained.txt"))
    return ("--lem-backend=odd", "--lem-meter=auto", "--lem-json=r.json")


def test_each_worker_measures_a_gpu_of_its_own_for_one_report(xdist, gpus, report):
    """Energy is that of its GPU by UUID, neighbours are named, tables are one."""
    result = xdist(*gpus, "--lem-windows=3", "--lem-gpus=2,0")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["* test_it?odd-1? *", "* test_it?odd-2? *"])
    found = report()
    assert [one.id[-7:] for one in found.experiments] == ["[odd-1]", "[odd-2]"]
    assert found.session.status == "complete"
    assert found.session.order == "grouped"
    assert len(found.plan.executed) == found.plan.planned == 4
    told = {gpu["uuid"][4:8] for gpu in found.environment["gpu"]}
    assert told == {"2828", "2a2a"}
    powers_w = {}
    for one in found.experiments:
        assert "neighbours_measured" in one.flags
        for cycle in one.cycles:
            energies = cycle.windows[0].energy.per_device
            (device,) = {each["device"][4:8] for each in energies}
            neighbours = {each["gpu"][4:8] for each in cycle.machine["neighbours"]}
            assert neighbours <= told - {device}
            powers_w[device] = round(cycle.metrics["avg_power_w"], -2)
    assert powers_w == {"2a2a": 500, "2828": 100}


@pytest.mark.slow
def test_more_workers_than_gpus_are_refused_in_one_line(xdist, gpus, errors_of):
    """With what would do; nothing is measured."""
    result = xdist(*gpus, "--lem-gpus-per-worker=2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors_of(result)
    assert line.startswith("pytest -n 2 needs 4 GPUs, 2 for each worker, and has 3 (")
    assert line.endswith(": say -n 1")


@pytest.mark.slow
def test_a_worker_that_dies_loses_the_cycle_that_runs(xdist, gpus, report):
    """Its other cycles are in the report; the worker in its place has its GPU."""
    source = """
    import os, signal
    import pytest

    @pytest.mark.parametrize("batch_size", [1, 2, 3, 4])
    def test_it(lem, request, batch_size):
        result = lem()
        if batch_size == 1 and len(result.cycles) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    """
    result = xdist(*gpus, "--lem-cycles=3", source=source)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*worker 'gw0' crashed while running*odd-1*"])
    found = report()
    assert [len(one.cycles) for one in found.experiments] == [2, 3, 3, 3]
    assert found.session.status == "interrupted"
    assert {gpu["uuid"][4:8] for gpu in found.environment["gpu"]} == {"2828", "2929"}


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_a_report_of_what_was_measured(xdist, project, report, how):
    """It reaches the controller alone here; workers end in their own time."""
    source = """
    import time
    from pathlib import Path
    import pytest

    @pytest.mark.parametrize("batch_size", [1, 2])
    def test_it(lem, batch_size):
        lem()
        Path(f"waiting-{batch_size}").touch()
        time.sleep(60)
    """
    project.makepyfile(test_it=source)
    command = [sys.executable, "-m", "pytest", "-n2", "--lem-json=r.json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as controller:
        while len(list(project.path.glob("waiting-*"))) < 2:
            assert controller.poll() is None
            time.sleep(0.05)
        controller.send_signal(how)
        assert controller.wait(60) == pytest.ExitCode.INTERRUPTED
    found = report()
    assert found.session.status == "interrupted"
    assert [len(one.cycles) for one in found.experiments] == [1, 1]


@pytest.mark.slow
def test_a_worker_that_is_interrupted_ends_the_session(xdist, report):
    """As a Ctrl-C within a test does."""
    source = SOURCE.replace(
        "lem()", "lem()\n    if batch_size == 2: raise KeyboardInterrupt"
    )
    result = xdist("--lem-json=r.json", source=source)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    found = report()
    assert found.session.status == "interrupted"
    assert len(found.plan.executed) == sum(len(one.cycles) for one in found.experiments)


@pytest.mark.slow
def test_without_gpus_only_time_is_measured_side_by_side(xdist, errors_of, report):
    """The joules of a CPU are nobody's share; what is said so is one line."""
    result = xdist("--lem-meter=auto")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors_of(result)
    assert line.startswith("pytest -n 2: this run has no GPUs, and the energy of a CPU")
    result = xdist("--lem-json=r.json", "-v", "--deselect=test_it.py::test_plain")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*PASSED * token/s *, 2 cycles test_it.py*"])
    assert {"-n2", "--lem-json=r.json"} <= {*report().session.command}


@pytest.mark.slow
def test_what_does_not_go_with_workers_is_refused_by_name(xdist, errors_of):
    """A line for each, before anything is measured."""
    result = xdist("--dist=each", "--lem-plan", "--lem-order=shuffled")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    told = [line.partition(":")[0] for line in errors_of(result)]
    assert told == ["--dist=each", "--lem-plan", "--lem-order=shuffled"]
    (line,) = errors_of(xdist("--lem-stop=flat:output_throughput_tps"))
    assert line.startswith("--lem-stop: no worker knows what the others measured")


def test_gpus_of_workers_that_there_are_not_are_refused(run, errors_of):
    """An option that would do nothing says so."""
    (line,) = errors_of(run(SOURCE, "--lem-gpus-per-worker=2"))
    assert line == (
        "--lem-gpus-per-worker: say pytest -n N or --lem-launch=ray with it"
    )
