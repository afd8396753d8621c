"""The gate on a real GPU: joules per token of an engine that is slowed from outside."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import contextmanager

import pytest

pytest.importorskip("transformers")

from pytest_lem.machine import gpu
from pytest_lem.records.export import read_json

from .whole import Sessions, hindered

GPUS = gpu.discover()
METRIC = "energy_per_output_token_j"
# Long prompts: the GPU is what limits. On a host that launches the kernels of short
# steps too slowly sessions differed by 16 %.
INI = (
    "lem_backend = transformers",
    "lem_model = synthetic:llama-3.2-1b",
    "lem_meter = nvml",
    "lem_idle = off",
    "lem_warmup = fixed:1",
    "lem_windows = 6",
    "lem_cycles = 1",
    "lem_set =",
    "    precision=bfloat16",
    "    batch_size=64",
    "    input_tokens=2048",
    "    output_tokens=2",
)
# A GPU that waits draws about a fifth of what it draws at work, and works on for a
# while after its worker was stopped: on an H200 60 % of 2 s cost 7 % of the energy, and
# this 23 %.
STOPPED = 4 / 5
PERIOD_S = 5.0
LOAD = """
import time, torch
one = torch.randn(2048, 2048, device="cuda")
torch.cuda.synchronize()
print("on", flush=True)
while True:
    for _ in range(20):
        one @ one
    torch.cuda.synchronize()
    time.sleep(0.005)
"""

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not GPUS, reason=str(gpu.absence())),
]


@contextmanager
def foreign_load(environment):
    """Another process that multiplies on the same GPU."""
    command = [sys.executable, "-c", LOAD]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as load:
        try:
            assert load.stdout.readline() == b"on\n"
            yield
        finally:
            load.kill()


def test_joules_per_token_pass_unchanged_and_regress_where_the_worker_is_stopped(
    pytester, capsys, monkeypatch
):
    """Against three sessions; a foreign load is named, where the driver tells of it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", GPUS[0].uuid)
    sessions = Sessions(pytester, INI)

    def judged(what):
        """The run's exit status, its verdict, and its one experiment; all told."""
        done = sessions.compare(f"--lem-compare-fail={METRIC}:10%", "--junitxml=j.xml")
        (one,) = read_json(sessions.path / "r.json").experiments
        with capsys.disabled():
            at = [k for k, line in enumerate(done.outlines) if "= lem =" in line]
            print(f"\n{what}:", *done.outlines[at[0] if at else 0 :], sep="\n  ")
            print("  flags:", *one.flags)
        return done.ret, one.gate["verdict"], one

    sessions.save(3)
    status, verdict, one = judged("unchanged")
    assert (status, verdict) == (0, "pass")
    assert one.cycles[0].windows[0].energy.meter == "nvml"

    with hindered(sessions.path, STOPPED, PERIOD_S):
        status, verdict, one = judged("stopped for 80 % of the time")
    (rule,) = one.gate["rules"]
    assert (status, verdict) == (1, "regression")
    assert rule["shift"]["ratio"] > 1.15
    (case,) = ET.parse(sessions.path / "j.xml").findall(".//testcase")
    assert f"regression: {METRIC}" in case.find("failure").get("message")

    with foreign_load(os.environ):
        status, verdict, one = judged("beside another process")
    (rule,) = one.gate["rules"]
    if "foreign_process" in one.flags:
        assert (status, verdict) == (0, "inconclusive")
        assert "foreign_process" in rule["reasons"]
    else:  # its joules are ours, and nobody says so
        (told,) = one.cycles[0].machine["gpus"].values()
        assert told["foreign_processes"] is None
        assert (status, verdict) == (1, "regression")
