"""How the real vLLM ends, with a core of its own and ranks below it, and what is left.

Each starts several processes that import torch: these are the slow ones.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest.importorskip("vllm")

from pytest_lem.engines import GenerateOptions
from pytest_lem.errors import EngineLoadError, OutOfMemory, Timeout, WorkerDied
from pytest_lem.machine.gpu import discover
from pytest_lem.worker import group
from pytest_lem.worker.client import Limits, start_worker

from .conftest import SMALL

pytestmark = pytest.mark.slow

GPUS = discover()
LONG = GenerateOptions(output_tokens=4000, min_output_tokens=4000)
SHORT = GenerateOptions(output_tokens=6, min_output_tokens=6)
TWO_RANKS = {"tensor_parallel_size": 2}


def title(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except FileNotFoundError:
        return ""


FAULT = """
import importlib.util, sys

class Finder:
    def find_spec(self, name, path, target=None):
        if name != "vllm.v1.worker.cpu_worker":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            find = module.CPUWorker.init_device
            def init_device(self):
                if self.rank == 1:
                    raise RuntimeError("no device here")
                return find(self)
            module.CPUWorker.init_device = init_device
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


class Life:
    """A worker with vLLM in it, and every process that it was seen to have."""

    def __init__(self, client, load):
        self.client = client
        self.load = load
        self.seen = set()

    def find(self, name):
        """The number of vLLM's process of that name."""
        found = {title(pid): pid for pid in self.look()}
        assert name in found, found
        return found[name]

    def look(self):
        self.seen.update(group.members(self.client.pid))
        return self.seen

    def send(self, signum, pid, after_s=1.0):
        """Send a signal once the next pass is under way."""
        timer = threading.Timer(after_s, os.kill, (pid, signum))
        timer.start()
        return timer

    def left(self):
        """Who of them still lives, as vLLM or as ours."""
        ours = ("VLLM::", sys.executable)
        return [pid for pid in self.seen if title(pid).startswith(ours)]


@pytest.fixture
def life(spec_of, tmp_path):
    """A worker whose vLLM is loaded with a section by `load`; nothing stays of it."""
    made = []

    def begin(limits=None, **environment):
        client = start_worker(
            "pytest_lem.engines.vllm.engine:VllmEngine",
            name="vllm",
            python=sys.executable,
            environment={"HF_HUB_OFFLINE": "1", **environment},
            log_path=tmp_path / "worker.log",
            limits=limits or Limits(),
        )

        def load(*, gpus=0, **section):
            spec = spec_of(**{**SMALL, "in_process": False, **section})
            loaded = client.load({**spec, "gpus_expected": gpus})
            one.look()
            return loaded

        one = Life(client, load)
        made.append(one)
        return one

    yield begin
    for one in made:
        one.look()
        one.client.kill()
        assert one.left() == []


def test_a_core_that_is_killed_is_told_at_once(life):
    """vLLM would wait for ever, and only the limit would end it."""
    one = life()
    one.load()
    core = one.find("VLLM::EngineCore")
    one.send(signal.SIGKILL, core)
    with pytest.raises(WorkerDied, match=rf"VLLM::EngineCore \(process {core}\)"):
        one.client.generate([[1, 2, 3]], LONG)
    assert not one.client.usable
    assert one.client.close() is None
    assert one.left() == []


def test_a_core_that_is_killed_in_the_middle_of_a_stream_is_told_by_name(life):
    """`AsyncLLM` notices too, in words that name no process; tokens are kept."""
    one = life()
    loaded = one.load(streams=True)
    assert loaded.effective["entry_point"] == "AsyncLLM"
    core = one.find("VLLM::EngineCore")
    one.send(signal.SIGKILL, core)
    options = replace(LONG, stamps=True, batch_size=2, output_limits=(4, 4000))
    kept = []
    with pytest.raises(WorkerDied, match=rf"VLLM::EngineCore \(process {core}\)"):
        one.client.generate([[1, 2, 3], [4, 5]], options, broke=kept.append)
    whole, broken = kept[0].completions
    assert (whole.outcome, whole.output_tokens) == ("completed", 4)
    assert broken.outcome == "engine_error"
    assert f"VLLM::EngineCore (process {core})" in broken.error
    assert 0 < broken.output_tokens == len(broken.token_ns) < 4000
    assert not one.client.usable
    assert one.client.close() is None
    assert one.left() == []


def test_a_core_that_hangs_ends_at_the_limit(life):
    """It is stopped, so it heeds no SIGTERM either."""
    one = life(Limits(generate_s=8))
    one.load()
    core = one.find("VLLM::EngineCore")
    one.send(signal.SIGSTOP, core)
    with pytest.raises(Timeout, match="limit of 8 s"):
        one.client.generate([[1, 2, 3]], LONG)
    assert one.left() == []


def test_what_lies_below_a_killed_worker_ends(life):
    """vLLM itself leaves its core running; the guard does not."""
    one = life()
    one.load()
    one.send(signal.SIGKILL, one.client.hello["pid"])
    with pytest.raises(WorkerDied, match="SIGKILL"):
        one.client.generate([[1, 2, 3]], LONG)
    assert one.left() == []


def test_an_unload_ends_the_core_and_another_may_follow(life):
    """The worker stays, with nothing of vLLM's below it."""
    one = life()
    one.load()
    first = one.find("VLLM::EngineCore")
    one.client.unload()
    assert not title(first)
    one.load()
    assert one.client.generate([[1, 2, 3]], SHORT).completions
    assert one.client.close() is None
    assert one.left() == []


def test_memory_that_is_not_there_is_told_as_such(life):
    """A process of vLLM's says so in its log alone; the line has its cause."""
    one = life()
    with pytest.raises(OutOfMemory, match="rank 0: ValueError: Available memory"):
        one.load(kv_cache_memory_bytes=2**50)


def test_memory_that_is_not_there_is_told_in_one_process_too(life):
    """The same words, raised where they are caught."""
    with pytest.raises(OutOfMemory, match="Available memory"):
        life().load(kv_cache_memory_bytes=2**50, in_process=True)


def test_two_ranks_give_the_tokens_of_one_and_end_together(life, bare):
    """A half of the model each; whoever of them is killed is told by name."""
    one = life()
    one.load(**TWO_RANKS)
    rank = one.find("VLLM::Worker_TP1")
    prompts = [[5, 6, 7, 8], [9, 10, 11]]
    got = one.client.generate(prompts, SHORT)
    assert [c.output_ids for c in got.completions] == [bare(p, 6) for p in prompts]
    one.send(signal.SIGKILL, rank)
    with pytest.raises(WorkerDied, match=rf"VLLM::Worker_TP1 \(process {rank}\)"):
        one.client.generate([[1, 2, 3]], LONG)
    assert one.client.close() is None
    assert one.left() == []


def test_a_rank_that_cannot_start_fails_the_load_by_its_number(life, tmp_path):
    """A fault is put into the second one, where it would look for its device."""
    (tmp_path / "sitecustomize.py").write_text(FAULT)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    one = life(PYTHONPATH=os.pathsep.join(paths))
    with pytest.raises(EngineLoadError, match="rank 1: RuntimeError: no device here"):
        one.load(**TWO_RANKS)


@pytest.mark.gpu
@pytest.mark.parametrize(("wide", "stages"), [(2, 1), (1, 2), (4, 1), (2, 2)])
def test_ranks_have_a_gpu_each_and_end_together(life, wide, stages):
    """Tensor parallel, pipeline stages, and both: each rank has its own GPU."""
    number = wide * stages
    if len(GPUS) < number:
        pytest.skip(f"needs {number} GPUs, {len(GPUS)} are here")
    chosen = [gpu.uuid for gpu in GPUS[:number]]
    one = life(CUDA_VISIBLE_DEVICES=",".join(chosen))
    ways = {"tensor_parallel_size": wide, "pipeline_parallel_size": stages}
    loaded = one.load(gpus=number, **ways)
    assert sorted(loaded.devices) == sorted(chosen)
    (got,) = one.client.generate([[5, 6, 7, 8]], SHORT).completions
    assert len(got.output_ids) == 6
    one.client.unload()
    assert [pid for pid in one.seen if title(pid).startswith("VLLM::")] == []


SESSION = """
import pytest

@pytest.mark.lem(input_tokens=3, output_tokens=4000)
def test_long(lem, engine):
    engine.generate([[1, 2, 3]], output_tokens=1)
    with open("loaded", "w"):
        pass
    lem()

@pytest.mark.lem(input_tokens=3, output_tokens=4)
def test_after(lem):
    lem()
"""
OPTIONS = """
[pytest]
lem_backend = vllm
lem_meter = none
lem_idle = off
lem_windows = 1
lem_warmup = off
lem_cycles = 1
lem_set =
    vllm.enforce_eager=true
    vllm.kv_cache_memory_bytes=16777216
    vllm.block_size=32
    vllm.max_model_len=4096
"""


@pytest.fixture
def session(tmp_path):
    """A pytest of its own, whose long experiment is being measured."""
    (tmp_path / "test_it.py").write_text(SESSION)
    (tmp_path / "pytest.ini").write_text(OPTIONS)
    installed = {one.name for one in entry_points(group="pytest11")}
    plugin = [] if "lem" in installed else ["-p", "pytest_lem.plugin"]
    begun = []

    def begin(in_process, streaming=False):
        command = [sys.executable, "-m", "pytest", *plugin, "--lem-json=r.json"]
        command += ["--lem-set", f"vllm.in_process={in_process}".lower()]
        command += ["--lem-set", f"streaming={streaming}".lower()]
        popen = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        begun.append(popen)
        while not (tmp_path / "loaded").exists():
            assert popen.poll() is None, popen.communicate()[0]
            time.sleep(0.1)
        time.sleep(1)
        return popen

    yield begin
    for popen in begun:
        popen.kill()
        popen.communicate()


def below(pid):
    """Every process below one, by number and when it began."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found |= {int(child): began(int(child)), **below(int(child))}
    return found


def began(pid):
    """What tells it from a later one of its number; None once it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def stays(processes, within_s=15):
    """Who of them is still there when time is up."""
    deadline = time.monotonic() + within_s
    while left := [pid for pid, when in processes.items() if began(pid) == when]:
        if time.monotonic() > deadline:
            return [(pid, title(pid)) for pid in left]
        time.sleep(0.1)
    return []


@pytest.mark.parametrize("in_process", [True, False])
@pytest.mark.parametrize("how", ["group", "parent", "term", "kill"])
def test_a_session_that_is_ended_leaves_nothing(session, tmp_path, how, in_process):
    """Ctrl-C to all or to pytest alone, SIGTERM and kill -9, while vLLM generates."""
    popen = session(in_process)
    processes = below(popen.pid)
    cores = [pid for pid in processes if title(pid) == "VLLM::EngineCore"]
    assert len(cores) == (not in_process)
    if how == "group":
        os.killpg(popen.pid, signal.SIGINT)
    else:
        signals = {"parent": signal.SIGINT, "term": signal.SIGTERM}
        popen.send_signal(signals.get(how, signal.SIGKILL))
    output = popen.communicate(timeout=60)[0]
    assert stays(processes) == []
    if how == "kill":
        return
    assert popen.returncode == pytest.ExitCode.INTERRUPTED, output
    assert '"interrupted"' in (tmp_path / "r.json").read_text()


@pytest.mark.parametrize("streaming", [False, True])
def test_the_next_experiment_runs_after_a_core_was_killed(session, streaming):
    """The long one fails by name; the same session starts vLLM again."""
    popen = session(in_process=False, streaming=streaming)
    processes = below(popen.pid)
    (core,) = (pid for pid in processes if title(pid) == "VLLM::EngineCore")
    os.kill(core, signal.SIGKILL)
    output = popen.communicate(timeout=300)[0]
    assert "1 failed, 1 passed" in output, output
    assert "VLLM::EngineCore" in output
    assert stays(processes) == []
