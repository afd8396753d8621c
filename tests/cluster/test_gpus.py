"""Two experiments at once on two GPUs: each draws what it does alone, or it is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_lem.analysis.compare import Ratio
from pytest_lem.machine import gpu
from pytest_lem.records.export import read_json

from .beside import Beside, compared, overlap

GPUS = gpu.discover()
# Long prompts: the GPU is what limits, not the host that launches.
INI = """
[pytest]
addopts = -p no:randomly
lem_backend = transformers
lem_model = synthetic:llama-3.2-1b
lem_meter = nvml
lem_idle = off
lem_warmup = fixed:2
lem_windows = 5
lem_cycles = 2
lem_order = grouped
lem_set =
    precision=bfloat16
    batch_size=64
    input_tokens=2048
    output_tokens=2
"""
SOURCE = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("seed", [1, 2])
def test_it(lem, seed):
    lem()
"""
# More than this is no coupling but energy that was given to another.
MOST = 0.05


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Run a project of two experiments in a process; the report that it leaves."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=":")
    for name in ("CUDA_VISIBLE_DEVICES", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "test_it.py").write_text(SOURCE)

    def session(name, *arguments):
        command = [sys.executable, "-m", "pytest", f"--lem-json={name}.json"]
        done = subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env=os.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return read_json(tmp_path / f"{name}.json")

    return session


@pytest.fixture
def at_once(request, monkeypatch):
    """What has two experiments measured at once, by workers of xdist or Ray's nodes."""
    first, second = (one.uuid for one in GPUS[:2])
    if request.param == "xdist":
        yield ("-n2", f"--lem-gpus={first},{second}")
        return
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"{first},{second}")
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2,
            "num_gpus": 2,
            "object_store_memory": 80 * 1024**2,
            "include_dashboard": False,
        },
    )
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield ("--lem-launch=ray",)
    cluster.shutdown()


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(len(GPUS) < 2, reason="it takes two GPUs")
@pytest.mark.parametrize("at_once", ["xdist", "ray"], indirect=True)
def test_each_gpu_draws_beside_another_what_it_draws_alone(session, at_once, capsys):
    """Alone before and after, so that a drift is on both sides."""
    first, second = (one.uuid for one in GPUS[:2])

    def alone(name, uuid):
        return session(
            name, f"--lem-gpus={uuid}", "test_it.py::test_it[transformers-1]"
        )

    before = [alone("a1", first), alone("b1", second)]
    together = session("both", *at_once)
    found = compared([*before, alone("b2", second), alone("a2", first)], [together])
    with capsys.disabled():
        print(f"\noverlap {100 * overlap(together):.0f} %", *found, sep="\n  ")
    assert len(found) == 2
    assert overlap(together) > 0.5
    for one in found:
        assert abs(one.found.value - 1) < MOST


@pytest.mark.parametrize(
    ("low", "high", "stated", "coupled"),
    [
        (0.99, 1.02, 0.0, False),
        (1.01, 1.03, 0.0, True),
        (1.01, 1.03, 0.02, False),
        (0.95, 0.97, 0.01, True),
    ],
)
def test_coupling_is_more_than_cycles_and_meter_state(low, high, stated, coupled):
    """The interval of the cycles, widened by what the meter says of itself."""
    one = Beside(
        device="GPU-1",
        found=Ratio(value=(low + high) / 2, low=low, high=high),
        stated=stated,
    )
    assert one.coupled is coupled
    assert ("COUPLED" in str(one)) is coupled
