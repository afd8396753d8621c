"""Several processes of one engine: what they do together, and how they end."""

import os
import signal
import threading

import pytest

from pytest_lem.engines import Capabilities, GenerateOptions
from pytest_lem.engines.registry import Registry
from pytest_lem.errors import (
    ConfigError,
    EngineLoadError,
    GenerationError,
    Timeout,
    WorkerDied,
)
from pytest_lem.worker import group
from pytest_lem.worker.client import Limits
from pytest_lem.worker.devices import environment_for
from pytest_lem.worker.launch.ranks import Ranks, gpus_for, ranks_of

OPTIONS = GenerateOptions(output_tokens=4)
BOTH = Capabilities(launch="accelerate", copies="copies", shards="cut.size")
GPUS = ["GPU-a", "GPU-b", "GPU-c"]

# Acts by its rank: `self.rank` is known from the load on.
ODD = (
    "import os, pathlib, time\n"
    "class Odd(FakeEngine):\n"
    "    scripted = False\n"
    "    def load(self, spec):\n"
    "        self.rank = spec['rank']['rank']\n"
    "        return super().load(spec)\n"
)


def ranks(kind="copies", count=2):
    section = {"copies": count} if kind == "copies" else {"cut": {"size": count}}
    return ranks_of(BOTH, section, [])


@pytest.mark.parametrize(
    ("launch", "section", "kind"),
    [
        ("direct", {"copies": 2}, None),
        ("accelerate", {}, None),
        ("accelerate", {"copies": 1, "cut": None}, None),
        ("accelerate", {"copies": 2}, "copies"),
        ("accelerate", {"cut": {"size": 2}}, "shards"),
        ("torchrun", {"copies": 2}, None),
        ("torchrun", {"cut": {"size": 2}}, "shards"),
    ],
)
def test_capabilities_alone_decide_how_an_engine_is_launched(launch, section, kind):
    """Several processes are started where a launch allows their kind."""
    capabilities = Capabilities(launch=launch, copies="copies", shards="cut.size")
    found = ranks_of(capabilities, section, [])
    assert (found and found.kind) == kind


def test_each_rank_sees_exactly_its_gpu():
    """In the order of the run; on the CPU none sees any."""
    section = {"copies": 2}
    on_gpus = ranks_of(BOTH, section, GPUS).environments
    assert [one["CUDA_VISIBLE_DEVICES"] for one in on_gpus] == ["GPU-a", "GPU-b"]
    on_cpu = ranks_of(BOTH, {**section, "device": "cpu"}, GPUS).environments
    assert [one["CUDA_VISIBLE_DEVICES"] for one in on_cpu] == ["", ""]
    cut = ranks_of(BOTH, {"cut": {"size": 3}}, GPUS).environments
    assert [one["RANK"] for one in cut] == ["0", "1", "2"]
    assert {(one["WORLD_SIZE"], one["LOCAL_RANK"]) for one in cut} == {("3", "0")}


def test_more_ranks_than_gpus_are_refused_with_both_numbers():
    """Before anything is started, with the option that names GPUs."""
    with pytest.raises(
        ConfigError, match=r"copies=4 needs 4 GPUs .* has 3: --lem-gpus"
    ):
        ranks_of(BOTH, {"copies": 4}, GPUS)
    with pytest.raises(ConfigError, match="copies='x': a number of processes"):
        ranks_of(BOTH, {"copies": "x"}, [])
    with pytest.raises(ConfigError, match="exclude each other"):
        ranks_of(BOTH, {"copies": 2, "cut": {"size": 2}}, GPUS)


@pytest.mark.parametrize(
    ("backend", "section", "count"),
    [
        ("vllm", {}, 1),
        ("vllm", {"tensor_parallel_size": 2, "pipeline_parallel_size": 3}, 6),
        ("tensorrt", {"tensor_parallel_size": 2, "context_parallel_size": 2}, 4),
        ("transformers", {"distributed_config": {"tp_size": 2}}, 2),
        ("transformers", {"num_processes": 3, "device": "cpu"}, 1),
    ],
)
def test_sections_tell_how_many_gpus_an_engine_needs(backend, section, count):
    """Whether the worker starts its processes, or the engine itself."""
    found, said = gpus_for(Registry().find(backend).capabilities, section)
    assert found == count
    assert (count > 1) == ("size=" in said)


def test_ranks_that_ray_places_need_no_gpus_here():
    """They run wherever the cluster has some."""
    section = {"tensor_parallel_size": 4, "distributed_executor_backend": "ray"}
    capabilities = Registry().find("vllm").capabilities
    assert gpus_for(capabilities, section)[0] == 1
    assert gpus_for(capabilities, {"tensor_parallel_size": 4})[0] == 4


def test_copies_divide_the_requests_and_keep_their_order(start):
    """The window is from the first start to the last end; each rank is told apart."""
    alone, crew = start(), start(ranks=ranks())
    script = {"engine": {"prefill_s": 0.01}}
    whole, loaded = alone.load(script), crew.load(script)
    assert loaded.effective == {**whole.effective, "ranks": "copies", "world_size": 2}
    prompts = [[k] * (k + 1) for k in range(5)]
    one, two = alone.generate(prompts, OPTIONS), crew.generate(prompts, OPTIONS)
    assert [c.output_ids for c in two.completions] == [
        c.output_ids for c in one.completions
    ]
    assert two.start_ns == min(c.sent_ns for c in two.completions)
    assert two.end_ns == max(c.ended_ns for c in two.completions)
    rows = two.native["ranks"]
    assert [row["requests"] for row in rows] == [3, 2]
    assert [row["output_tokens"] for row in rows] == [12, 8]
    assert [row["duration_s"] for row in rows] == pytest.approx([0.039, 0.026])
    assert two.native["imbalance"] == pytest.approx(1.2)
    assert two.native["flags"] == ["ranks_unbalanced"]
    assert crew.close() is None


def test_drafts_of_copies_add_up(start, engine_module):
    """Rates of a rank are not those of all."""
    target = engine_module(
        "class Odd(FakeEngine):\n"
        "    def collect(self, batches, *others):\n"
        "        told = dict(verify_calls=3, drafted_tokens=len(batches),\n"
        "                    accepted_tokens=None, acceptance_rate=0.5)\n"
        "        found = super().collect(batches, *others)\n"
        "        return {**found, 'native': {'speculation': told}}\n"
    )
    crew = start(target, ranks=ranks())
    crew.load({"engine": {}})
    assert crew.generate([[1], [2], [3]], OPTIONS).native["speculation"] == {
        "verify_calls": 6,
        "drafted_tokens": 3,
        "accepted_tokens": None,
    }


def test_figures_of_ranks_add_up_or_are_named_as_the_first_rank_s(start, engine_module):
    """Sizes and counts are summed, seconds of all at once are the slowest's."""
    target = engine_module(
        ODD + "    def collect(self, batches, *others):\n"
        "        compiled = dict(before_s=1.0 + self.rank, in_pass_s=0.0,\n"
        "                        compilations=2, graph_breaks=self.rank,\n"
        "                        graph_recordings=1, graph_skips=0,\n"
        "                        fallback='why' if self.rank else None)\n"
        "        told = dict(kept_mb=1.5, decoding_steps=[4] * len(batches),\n"
        "                    compile=compiled, odd=self.rank, flags=[])\n"
        "        return {**super().collect(batches, *others), 'native': told}\n"
    )
    for kind in ("copies", "shards"):
        crew = start(target, ranks=ranks(kind))
        crew.load({"engine": {}})
        told = crew.generate([[1], [2], [3]], OPTIONS).native
        assert (told["kept_mb"], told["odd"]) == (3.0, 0)
        assert told["decoding_steps"] == [4, 4, 4]
        assert told["compile"] == {
            "before_s": 2.0,
            "in_pass_s": 0.0,
            "compilations": 4,
            "graph_breaks": 1,
            "graph_recordings": 2,
            "graph_skips": 0,
            "fallback": "why",
        }
        named = ["decoding_steps", "odd"] if kind == "shards" else ["odd"]
        assert told["of_first_rank"] == named
        crew.close()


def test_a_rank_without_requests_is_idle(start):
    """One prompt is one rank's; what waits is told."""
    crew = start(ranks=ranks(count=3))
    crew.load({"engine": {}})
    got = crew.generate([[7]], OPTIONS)
    assert [row["requests"] for row in got.native["ranks"]] == [1, 0, 0]
    assert got.native["imbalance"] == pytest.approx(3)
    assert len(crew.generate([[1], [2], [3]], OPTIONS).completions) == 3


def test_copies_draw_with_seeds_of_their_own(start):
    """The same prompt on two ranks is not drawn alike, and as before with its seed."""
    crew = start(ranks=ranks())
    crew.load({"engine": {}})
    options = GenerateOptions(output_tokens=8, seed=5)
    first, second = crew.generate([[1], [1]], options).completions
    assert first.output_ids != second.output_ids
    again = crew.generate([[1], [1]], options).completions
    assert [first.output_ids, second.output_ids] == [c.output_ids for c in again]


def test_copies_have_the_lengths_of_their_own_requests(start):
    """Limits are dealt as the prompts are."""
    crew = start(ranks=ranks())
    crew.load({"engine": {}})
    limits = (5, 1, 8, 2, 3)
    options = GenerateOptions(output_tokens=8, output_limits=limits)
    done = crew.generate([[1], [2], [3], [4], [5]], options).completions
    assert [one.output_tokens for one in done] == list(limits)


def test_no_rank_starts_before_all_are_ready(start, engine_module, tmp_path):
    """The slowest preparation is outside of everybody's window."""
    target = engine_module(
        ODD + "    def prepare(self, prompts, options):\n"
        "        time.sleep(0.3 * self.rank)\n"
        f"        path = pathlib.Path({str(tmp_path)!r}, f'ready-{{self.rank}}')\n"
        "        path.write_text(str(time.monotonic_ns()))\n"
        "        return super().prepare(prompts, options)\n"
    )
    crew = start(target, ranks=ranks())
    crew.load({"engine": {}})
    got = crew.generate([[1], [2]], OPTIONS)
    ready_ns = [int((tmp_path / f"ready-{rank}").read_text()) for rank in (0, 1)]
    assert got.start_ns >= max(ready_ns)
    assert min(one.sent_ns for one in got.completions) >= max(ready_ns)


def test_shards_work_on_every_request(start):
    """Tokens count once; the first rank's answer is the engine's."""
    crew = start(ranks=ranks("shards"))
    assert crew.load({"engine": {}}).effective["ranks"] == "shards"
    got = crew.generate([[1], [2]], OPTIONS)
    assert sum(one.output_tokens for one in got.completions) == 8
    assert [row["output_tokens"] for row in got.native["ranks"]] == [8, 8]


def test_shards_that_differ_are_an_error(start, engine_module):
    """Ranks of one model cannot come to different tokens."""
    target = engine_module(
        ODD + "    def prepare(self, prompts, options):\n"
        "        rows = [[*row[:-1], row[-1] + self.rank] for row in prompts]\n"
        "        return super().prepare(rows, options)\n"
    )
    crew = start(target, ranks=ranks("shards"))
    crew.load({"engine": {}})
    with pytest.raises(GenerationError, match="rank 1 generated other tokens"):
        crew.generate([[1]], OPTIONS)


def test_a_rank_that_fails_to_load_is_named(start, engine_module):
    """The error keeps its kind; closing leaves nothing."""
    target = engine_module(
        "class Odd(FakeEngine):\n"
        "    def load(self, spec):\n"
        "        if spec['rank']['rank'] == 1: raise ValueError('bad shard')\n"
        "        return super().load(spec)\n"
    )
    crew = start(target, ranks=ranks())
    with pytest.raises(EngineLoadError) as caught:
        crew.load({"engine": {}})
    assert caught.value.message == "fake, load: rank 1, load: ValueError: bad shard"
    assert "Traceback" in caught.value.detail
    crew.close()
    assert group.members(crew.pid) == []


def test_a_rank_that_cannot_see_its_gpu_is_named(start):
    """The run fails; the rank does not go on with the CPU."""
    nowhere = "GPU-00000000-0000-0000-0000-000000000000"
    sights = [environment_for(None), environment_for([nowhere])]
    with pytest.raises(EngineLoadError, match=f"rank 1, hello: CUDA .* {nowhere}"):
        start(ranks=Ranks(kind="copies", environments=sights))


@pytest.mark.parametrize("kind", ["copies", "shards"])
def test_a_killed_rank_is_named_with_its_signal(start, kind):
    """While the other still works, or waits for ever; nothing is left running."""
    crew = start(ranks=ranks(kind))
    crew.load({"engine": {"hang_at": "generate"}})
    victim = crew.hello["ranks"][1]
    threading.Timer(0.3, os.kill, (victim, signal.SIGKILL)).start()
    with pytest.raises(WorkerDied, match=r"rank 1, generate: .* SIGKILL"):
        crew.generate([[1], [2]], OPTIONS)
    assert not crew.usable
    crew.close()
    assert group.members(crew.pid) == []


def test_a_killed_worker_takes_its_ranks_along(start):
    """Whether they wait or work."""
    crew = start(ranks=ranks())
    crew.load({"engine": {"hang_at": "generate", "spawn_child": True}})
    assert {*crew.hello["ranks"]} < {*group.members(crew.pid)}
    threading.Timer(0.3, os.kill, (crew.pid, signal.SIGKILL)).start()
    with pytest.raises(WorkerDied, match="SIGKILL"):
        crew.generate([[1], [2]], OPTIONS)
    assert group.members(crew.pid) == []


def test_a_rank_that_hangs_is_named_with_its_stacks(start):
    """Its worker tells of it before the worker itself is too late."""
    crew = start(ranks=ranks(), limits=Limits(generate_s=1))
    crew.load({"engine": {"hang_at": "generate"}})
    with pytest.raises(Timeout, match=r"rank 0, .* limit of 1 s") as caught:
        crew.generate([[1]], OPTIONS)
    assert "_hang" in caught.value.detail


@pytest.mark.parametrize("kind", ["copies", "shards"])
def test_likelihoods_are_told_once_for_all_ranks(start, engine_module, tmp_path, kind):
    """Copies hold the same weights, so one is asked; shards compute them together."""
    body = ODD + (
        "    def log_probabilities(self, rows):\n"
        "        pathlib.Path(__file__).with_name(f'told{self.rank}').touch()\n"
        "        return [[-1.0] * (len(row) - 1) for row in rows]\n"
    )
    target = engine_module(body)
    client = start(target, ranks=ranks(kind))
    client.load({"engine": {}})
    assert client.log_probabilities([[1, 2, 3], [4, 5]]) == [[-1.0, -1.0], [-1.0]]
    asked = sorted(path.name for path in tmp_path.glob("told*"))
    assert asked == (["told0"] if kind == "copies" else ["told0", "told1"])
