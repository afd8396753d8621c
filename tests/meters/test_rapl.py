"""RAPL against a powercap tree made of files."""

import os
import subprocess
import sys
import time

import pytest

from pytest_lem.errors import ConfigError, MeterError
from pytest_lem.meters import rapl
from pytest_lem.meters.metering import Metering

RANGE_UJ = 262_143_328_850
# Folders of pytest and of its workers, which nobody else may enter.
FOLDERS = ("pytest-", "popen-")


def zone(root, folder, name, energy_uj, range_uj=RANGE_UJ):
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return path


def last_j(meter):
    return {reading.device: reading.energy_j for reading in meter.poll()[0]}


def test_packages_and_memory_are_read_and_nested_domains_are_not(tmp_path):
    """psys holds the package and core lies in it: neither is added."""
    zone(tmp_path, "intel-rapl:0", "package-0", 1000)
    zone(tmp_path, "intel-rapl:0:0", "core", 700)
    zone(tmp_path, "intel-rapl:0:1", "uncore", 100)
    zone(tmp_path, "intel-rapl:0:2", "dram", 200)
    zone(tmp_path, "intel-rapl:1", "psys", 5000)
    (tmp_path / "intel-rapl").mkdir()
    meter = rapl.RaplMeter(tmp_path)
    assert [(d.id, d.scope) for d in meter.devices()] == [
        ("package-0", "cpu"),
        ("package-0/dram", "dram"),
    ]


def test_energy_goes_on_over_a_wrap(tmp_path):
    """A counter that starts anew at its range has only wrapped."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 2_000_000)
    meter = rapl.RaplMeter(tmp_path)
    assert last_j(meter) == {"package-0": 0.0}
    (package / "energy_uj").write_text("3000000")
    assert last_j(meter)["package-0"] == pytest.approx(5.0)
    (package / "energy_uj").write_text("4000000")
    assert last_j(meter)["package-0"] == pytest.approx(6.0)


def test_mirrored_zones_count_once(tmp_path):
    """The same name with the same counter is one domain seen twice."""
    zone(tmp_path, "intel-rapl:0", "package-0", 1000)
    zone(tmp_path, "intel-rapl:1", "package-1", 2000)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1000)
    meter = rapl.RaplMeter(tmp_path)
    assert sorted(d.id for d in meter.devices()) == ["package-0", "package-1"]
    assert len(meter.facts()["mirrors"]) == 1


def test_zones_that_share_a_name_only_count_each(tmp_path):
    """Unequal counters are two domains, told apart by their folder."""
    zone(tmp_path, "intel-rapl:0", "package-0", 1000)
    zone(tmp_path, "intel-rapl:1", "package-0", 9000)
    meter = rapl.RaplMeter(tmp_path)
    names = [d.id for d in meter.devices()]
    assert names == ["package-0", "package-0@intel-rapl:1"]


def test_permission_denied_names_the_remedy(tmp_path):
    """An unprivileged user is told what to change, in one line."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1000)
    (package / "energy_uj").chmod(0o000)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from pytest_lem.errors import MeterError\n"
        "from pytest_lem.meters.rapl import RaplMeter\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "try: RaplMeter(Path(sys.argv[1]))\n"
        "except MeterError as error: print(error)\n"
    )
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and path.name.startswith(FOLDERS):
            path.chmod(0o755)
    tmp_path.chmod(0o755)
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "permission denied" in result.stdout
    assert "chmod a+r" in result.stdout
    assert "read-only bind mount" in result.stdout
    assert len(result.stdout.strip().splitlines()) == 1


def test_a_counter_that_cannot_be_read_is_an_error(tmp_path):
    """A folder in place of the file fails for root as well."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1000)
    (package / "energy_uj").unlink()
    (package / "energy_uj").mkdir()
    with pytest.raises(MeterError, match="energy_uj cannot be read"):
        rapl.RaplMeter(tmp_path)


def test_no_powercap_is_an_error(tmp_path):
    """A machine without the interface says so."""
    with pytest.raises(
        MeterError, match=r"nothing is absent; it needs a CPU with RAPL"
    ):
        rapl.RaplMeter(tmp_path / "nothing")


def test_an_empty_powercap_is_an_error(tmp_path):
    """In many containers the folder is there and holds nothing."""
    with pytest.raises(MeterError, match="no package or dram domain"):
        rapl.RaplMeter(tmp_path)


def test_cpu_and_memory_are_summed_without_gpus(tmp_path):
    """Gross is then CPU and memory, and its scope says so."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 2_000_000)
    dram = zone(tmp_path, "intel-rapl:0:0", "dram", 1_000_000)
    with Metering([rapl.RaplMeter(tmp_path)]) as metering:
        start_s = time.monotonic()
        metering.settle(start_s)
        (package / "energy_uj").write_text("32000000")
        (dram / "energy_uj").write_text("5000000")
        time.sleep(0.25)
        end_s = time.monotonic()
        assert metering.settle(end_s)
        reading = metering.energy(start_s, end_s, devices=["cpu"])
    assert reading.scope == ["cpu", "dram"]
    assert (reading.cpu_j, reading.dram_j) == (
        pytest.approx(30.0),
        pytest.approx(4.0),
    )
    assert reading.gross_j == pytest.approx(34.0)
    assert reading.basis == "measured"


def test_an_argument_is_refused():
    """`rapl:x` means nothing."""
    with pytest.raises(ConfigError, match="takes no argument"):
        rapl.open_meter("x", [])
