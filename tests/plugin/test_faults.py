"""What goes wrong with meters while a whole session measures, and what it says."""

import csv
import subprocess
import sys
import time

import pytest

SOURCE = """
import pytest

@pytest.mark.lem
def test_it(lem):
    lem()
"""

METER = """
import time
from dataclasses import replace
from pytest_lem.meters.fake import FakeMeter

class Wired(FakeMeter):
    name = "wired"
    basis = "measured"

class Frail(FakeMeter):
    how = None
    last_j = 0.0

    def poll(self):
        if self.how == "raises":
            raise OSError("the wire came off")
        if self.how == "hangs":
            time.sleep(5)
        readings, telemetry, wait_s = super().poll()
        if self.how == "starts anew":
            readings = [replace(one, energy_j=one.energy_j / 100) for one in readings]
        if self.how == "stands still":
            readings = [replace(one, energy_j=self.last_j) for one in readings]
        self.last_j = readings[-1].energy_j if readings else self.last_j
        return readings, telemetry, wait_s

def open_wired(argument, gpus):
    return Wired()

def open_frail(argument, gpus):
    return Frail()
"""

CONFTEST = """
def pytest_lem_register_meters(registry):
    registry.add("wired", "wired_meter:open_wired")
    registry.add("frail", "wired_meter:open_frail")
"""

BREAKS = """
import threading
import pytest
from wired_meter import Frail

@pytest.mark.lem(output_tokens=30, fake={{"token_s": 0.01}}, cycles=1)
def test_it(lem, engine):
    engine.generate(["hi"], output_tokens=1)
    threading.Timer({after_s}, setattr, (Frail, "how", {how!r})).start()
    result = lem()
    assert result.energy_gross_j.exists is False
    assert result.output_throughput_tps > 0
"""

VANISHES = """
import shutil
import pytest

@pytest.mark.lem(output_tokens=30, fake={{"token_s": 0.01}}, cycles=1)
def test_it(lem, engine):
    engine.generate(["hi"], output_tokens=1)
    shutil.rmtree({path!r})
    result = lem()
    assert result.energy_gross_j.exists is False
"""


@pytest.fixture
def wired(project, monkeypatch, tmp_path):
    """A project with a meter that measures a GPU, and a user's cache of its own."""
    monkeypatch.setenv("LEM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(project.path), prepend=":")
    monkeypatch.syspath_prepend(str(project.path))
    project.makepyfile(wired_meter=METER)
    path = project.path / "conftest.py"
    path.write_text(path.read_text() + CONFTEST)
    return project


@pytest.fixture
def busy(wired):
    """Another pytest session that measures the GPU, until it is killed."""
    wired.makepyfile(
        test_other="""
        import pytest

        @pytest.mark.lem(output_tokens=600, fake={"token_s": 0.1})
        def test_long(lem, note):
            note("measuring")
            lem()
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--lem-meter=wired", "test_other.py"],
        cwd=wired.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    notes, deadline_s = wired.path / "notes.txt", time.monotonic() + 30
    while not notes.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline_s, "the session never came so far"
        time.sleep(0.02)
    yield process
    process.kill()
    process.communicate()


def test_a_second_session_on_a_measured_gpu_is_refused_until_the_first_has_gone(
    run, wired, busy
):
    """One usage error names the process; a killed session holds nothing back."""
    result = run(SOURCE, "--lem-meter=wired", "test_it.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: GPU fake:0 is being measured by process {busy.pid} since *"]
    )
    assert len([line for line in result.errlines if line]) == 1
    arguments = ("--lem-meter=wired", "--lem-no-lock", "test_it.py")
    run(None, *arguments).assert_outcomes(passed=1)
    busy.kill()
    busy.wait()
    run(None, "--lem-meter=wired", "test_it.py").assert_outcomes(passed=1)


def test_a_played_or_synthetic_gpu_is_locked_by_nobody(run, wired, tmp_path):
    """Only what a GPU itself tells can be spoilt by a second session."""
    run(SOURCE, "--lem-meter=fake").assert_outcomes(passed=1)
    assert not (tmp_path / "cache").exists()
    run(None, "--lem-meter=wired").assert_outcomes(passed=1)
    assert [path.name for path in (tmp_path / "cache").rglob("*.lock")] == [
        "fake_0.lock"
    ]


FAULTS = [
    ("raises", 0.1, "not_covered: fake:0", "sampler_failed"),
    ("hangs", 0.1, "not_covered: fake:0", "sampler_stalled"),
    ("starts anew", 0.1, "counter_reset: fake:0", "counter_reset"),
    ("stands still", 0, "counter_unchanged: fake:0", None),
]


@pytest.mark.parametrize(("how", "after_s", "reason", "flag"), FAULTS)
def test_a_meter_that_fails_mid_way_leaves_null_energy_with_its_reason(
    run, wired, report, how, after_s, reason, flag
):
    """The run ends, time is measured, and neither report nor table has a 0."""
    arguments = ("--lem-meter=frail", "--lem-json=r.json", "--lem-csv=r.csv")
    result = run(BREAKS.format(how=how, after_s=after_s), *arguments)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"*no energy: {reason}*"])
    (cycle,) = report().experiments[0].cycles
    (window,) = cycle.windows
    assert window.energy.gross_j is None
    assert cycle.nulls["windows.energy.gross_j"] == reason
    assert flag is None or flag in window.flags
    with (wired.path / "r.csv").open(newline="") as file:
        (cells,) = csv.DictReader(file)
    assert (cells["energy_gross_j"], cells["energy_per_output_token_j"]) == ("", "")


def test_a_meter_that_fails_mid_way_fails_a_strict_run(run, wired):
    """Where nothing may be lost, the test fails with the meter's name and reason."""
    source = BREAKS.format(how="raises", after_s=0)
    result = run(source, "--lem-meter=frail", "--lem-strict")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*MeterError: fake gave no energy for a window: not_covered: fake:0*"]
    )


def test_a_powercap_tree_that_vanishes_mid_way_is_told(
    run, report, monkeypatch, tmp_path
):
    """Real files, removed while the session runs."""
    package = tmp_path / "powercap" / "intel-rapl:0"
    package.mkdir(parents=True)
    (package / "name").write_text("package-0")
    (package / "energy_uj").write_text("1000000")
    monkeypatch.setattr("pytest_lem.meters.rapl.POWERCAP", package.parent)
    source = VANISHES.format(path=str(package))
    run(source, "--lem-meter=rapl", "--lem-json=r.json").assert_outcomes(passed=1)
    (cycle,) = report().experiments[0].cycles
    assert cycle.nulls["windows.energy.gross_j"] == "not_covered: package-0"
    (meter,) = report().session.meters
    assert "No such file or directory" in meter["sampler"]["reason"]
