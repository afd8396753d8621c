"""One model over several nodes of a Ray cluster, metered on all of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("vllm")
pytest.importorskip("ray")

from pytest_lem.machine import gpu
from pytest_lem.records.export import read_json

ROOT = Path(__file__).parents[3]
GPUS = gpu.discover()
STORE_BYTES = 80 * 1024**2
INI = """
[pytest]
addopts = -p no:randomly
lem_backend = vllm
lem_idle = off
lem_warmup = fixed:1
lem_windows = 2
lem_cycles = 1
"""
SOURCE = """
import pytest

@pytest.mark.lem(
    model="{model}", input_tokens=8, output_tokens=32, batch_size=2, requests=16,
    vllm={{"tensor_parallel_size": 2, "distributed_executor_backend": "ray",
          "enforce_eager": True, "max_model_len": 128, **{more}}},
)
def test_it(lem):
    lem()
"""
SMALL = {"kv_cache_memory_bytes": 2**26, "block_size": 32}


def joined(*folders):
    """Where Python is to look, before where it looks for this process."""
    paths = [*map(str, folders), os.environ.get("PYTHONPATH")]
    return os.pathsep.join(filter(None, paths))


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Run the experiment on a cluster at that address; its one cycle."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "pytest.ini").write_text(INI)

    def measured(address, meter, model, more, **variables):
        source = SOURCE.format(model=model, more=more)
        (tmp_path / "test_it.py").write_text(source)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_lem.plugin"]
        done = subprocess.run(
            [*command, "--lem-json=r.json", f"--lem-meter={meter}"],
            cwd=tmp_path,
            env={**os.environ, "RAY_ADDRESS": address, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        (one,) = read_json(tmp_path / "r.json").experiments
        return one.cycles[0]

    return measured


@pytest.fixture
def started(monkeypatch):
    """Start a cluster: a dictionary of variables for each node; its address."""
    from ray.cluster_utils import Cluster

    clusters = []

    def started(nodes):
        for variables in nodes:
            small = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": STORE_BYTES}
            with monkeypatch.context() as patch:
                for key, value in variables.items():
                    patch.setenv(key, value)
                if not clusters:
                    small["include_dashboard"] = False
                    head = {"initialize_head": True, "head_node_args": small}
                    clusters.append(Cluster(**head))
                else:
                    clusters[0].add_node(**small)
        return clusters[0].address

    yield started
    for one in clusters:
        one.shutdown()


@pytest.mark.slow
def test_ranks_on_two_nodes_are_metered_on_three(started, measured):
    """On CPUs, by a platform of the test's; the third node has nothing to do."""
    path = joined(ROOT, ROOT / "tests" / "data" / "ray_on_cpus")
    address = started([{"PYTHONPATH": path}] * 3)
    model, meter = "synthetic:llama-tiny", "cluster:fake:200"
    cycle = measured(address, meter, model, SMALL, PYTHONPATH=path)
    assert cycle.effective["tensor_parallel_size"] == 2
    for window in cycle.windows:
        assert len(window.energy.per_device) == 3
        assert window.energy.gross_j == pytest.approx(600 * window.duration_s, rel=0.02)
        assert window.tokens.output == 16 * 32


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(len(GPUS) < 2, reason="it takes two GPUs")
def test_a_model_on_two_gpus_of_two_nodes_has_the_energy_of_both(
    started, measured, capsys
):
    """Two raylets of this machine, each with a GPU; the two by UUID, and no other."""
    address = started([{"CUDA_VISIBLE_DEVICES": str(k)} for k in range(2)])
    model = "synthetic:llama-3.2-1b"
    more = {"disable_custom_all_reduce": True}  # vLLM takes one host for one node
    cycle = measured(address, "cluster", model, more, PYTHONPATH=joined(ROOT))
    uuids = {one.uuid for one in GPUS[:2]}
    for window in cycle.windows:
        rows = {row["device"]: row["energy_j"] for row in window.energy.per_device}
        with capsys.disabled():
            print(f"\n{window.duration_s:.2f} s:", rows, window.energy.uncertainty_j)
        assert set(rows) == uuids
        assert all(energy_j > 30 * window.duration_s for energy_j in rows.values())
