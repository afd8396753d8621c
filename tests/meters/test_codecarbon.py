"""CodeCarbon, run for real."""

import subprocess
import sys
import textwrap
import time

import pytest

from pytest_lem.errors import MeterError
from pytest_lem.meters.opening import open_meters

pytest.importorskip("codecarbon")

from codecarbon.core.emissions import Emissions


def test_a_real_run_gives_estimates_for_cpu_and_memory():
    """Gross is CPU and memory, flagged as an estimate; the intensity is a fact."""
    with open_meters(["codecarbon"], gpus=[]) as metering:
        start_s = time.monotonic()
        time.sleep(1.2)
        end_s = time.monotonic()
        assert metering.settle(end_s)
        reading = metering.energy(start_s, end_s)
        facts = metering.describe()[0]["facts"]
    assert reading.scope == ["cpu", "dram"]
    assert reading.cpu_j > 0
    assert reading.dram_j > 0
    assert reading.gross_j == pytest.approx(reading.cpu_j + reading.dram_j)
    assert (reading.basis, reading.flags) == ("estimated", ["estimated_energy"])
    assert 0 < facts["carbon_intensity_g_per_kwh"] < 2000
    assert facts["tracking_mode"] == "machine"


def test_it_needs_no_network_writes_no_file_and_says_nothing(tmp_path):
    """With sockets blocked and a hostile configuration it works in silence."""
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\n"
        "emissions_endpoint = http://127.0.0.1:9/\n"
        "output_methods = csv,api\n"
        "co2_signal_api_token = secret\n"
        "pue = 3.0\n"
        "log_level = debug\n"
    )
    code = """
        import socket, sys, time
        opened = []
        class Blocked(socket.socket):
            def __init__(self, *args, **kwargs):
                opened.append(sys._getframe(1).f_code.co_name)
                raise OSError("blocked")
        socket.socket = Blocked
        from pytest_lem.meters.opening import open_meters
        with open_meters(["codecarbon"], gpus=[]) as metering:
            start_s = time.monotonic()
            time.sleep(0.7)
            end_s = time.monotonic()
            assert metering.settle(end_s)
            reading = metering.energy(start_s, end_s)
        assert reading.gross_j > 0, reading
        assert metering.describe()[0]["sampler"]["failures"] == 0
        # urllib3 tries, when it is imported, whether the host knows IPv6.
        assert set(opened) <= {"_has_ipv6"}, opened
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == [".codecarbon.config"]


def test_a_pue_in_its_configuration_is_no_part_of_the_energy(tmp_path):
    """CodeCarbon would multiply power and energy by it; here it is its own factor."""
    code = """
        from pytest_lem.meters.opening import open_meters
        with open_meters(["codecarbon"], gpus=[]) as metering:
            print(metering.describe()[0]["facts"]["ram_power_w"])
    """
    powers_w = []
    for name, config in (("plain", ""), ("hostile", "[codecarbon]\npue = 3.0\n")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / ".codecarbon.config").write_text(config)
        command = [sys.executable, "-c", textwrap.dedent(code)]
        powers_w.append(float(subprocess.check_output(command, cwd=folder)))
    assert powers_w[0] == powers_w[1] > 0


def test_without_the_library_the_error_names_the_install_command(monkeypatch):
    """Named and not installed is an error with the remedy."""
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(MeterError, match=r"pip install 'pytest-lem\[codecarbon\]'"):
        open_meters(["codecarbon"], gpus=[])


def test_an_error_that_the_tracker_swallows_is_told(monkeypatch):
    """The tracker only logs its errors; the meter names the last one."""

    def broken(*args):
        raise ValueError("no data of this grid")

    monkeypatch.setattr(Emissions, "get_private_infra_emissions", broken)
    with pytest.raises(MeterError, match="ValueError: no data of this grid"):
        open_meters(["codecarbon"], gpus=[])


def test_a_country_it_does_not_know_is_a_warning_in_the_facts(tmp_path, monkeypatch):
    """CodeCarbon then takes the world's average and only logs it."""
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\ncountry_iso_code = ZZZ\n"
    )
    monkeypatch.chdir(tmp_path)
    with open_meters(["codecarbon"], gpus=[]) as metering:
        facts = metering.describe()[0]["facts"]
    assert any("ZZZ" in told for told in facts["warnings"])
