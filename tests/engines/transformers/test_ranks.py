"""The real library in two processes: copies of a model, and shards of one."""

import os
import signal
import sys
import threading

import pytest

from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.registry import Registry
from pytest_lem.errors import ConfigError, WorkerDied
from pytest_lem.machine import gpu
from pytest_lem.worker import group
from pytest_lem.worker.client import Limits, start_worker
from pytest_lem.worker.devices import environment_for
from pytest_lem.worker.launch.ranks import ranks_of
from tests.engines.driving import spec

LENGTHS = (6, 3, 9, 4, 5)


@pytest.fixture
def crew(llama, tmp_path):
    """Start as many processes as a section asks for, and load; no one is left."""
    clients = []

    def crew(*, weights="checkpoint", gpus=(), **section):
        entry = Registry().find("transformers")
        ranks = ranks_of(entry.capabilities, section, gpus)
        client = start_worker(
            entry.target,
            name=entry.name,
            python=sys.executable,
            environment=environment_for(None if ranks else gpus),
            log_path=tmp_path / "worker.log",
            limits=Limits(),
            ranks=ranks,
        )
        clients.append(client)
        asked = spec(
            llama,
            engine=section,
            weights=weights,
            precision="float32",
            strict=True,
            gpus_expected=len(gpus),
        )
        loaded = client.load(asked)
        return client, loaded

    yield crew
    for client in clients:
        client.kill()
        assert group.members(client.pid) == []


def options(count):
    return GenerateOptions(
        output_tokens=count, min_output_tokens=count, batch_size=2, stamps=True
    )


def generate_until_it_fails(client, prompts):
    while True:
        client.generate(prompts, options(64))


def tokens(generation):
    return [one.output_ids for one in generation.completions]


@pytest.mark.proves("transformers.num_processes")
def test_copies_give_each_prompt_what_it_gets_alone(crew, rows, bare):
    """In its own place, with its stamps; work and sizes are those of both."""
    client, loaded = crew(num_processes=2, device="cpu")
    prompts = rows(*LENGTHS)
    got = client.generate(prompts, options(8))
    assert tokens(got) == [bare(row, 8) for row in prompts]
    assert {len(one.token_ns) for one in got.completions} == {8}
    assert [work.rows for work in got.work] == [2, 1, 2]
    assert [row["requests"] for row in got.native["ranks"]] == [3, 2]
    assert loaded.effective["world_size"] == 2
    assert loaded.memory["model_mb"] == pytest.approx(
        2 * 4 * loaded.model["parameters"] / 1e6, rel=0.01
    )
    counted = client.count_flops(prompts, options(8), limit_s=60)
    assert counted["work"] == got.work
    assert client.close() is None


@pytest.mark.proves(
    "transformers.distributed_config.tp_plan", "transformers.distributed_config.tp_size"
)
def test_shards_give_the_tokens_of_the_whole_model(crew, rows, bare):
    """Half of it on each rank; and a rank that is killed then is named."""
    client, loaded = crew(
        distributed_config={"tp_size": 2, "tp_plan": "auto"}, device="cpu"
    )
    prompts = rows(*LENGTHS)
    assert tokens(client.generate(prompts, options(8))) == [
        bare(row, 8) for row in prompts
    ]
    cut = loaded.effective["distributed_config"]
    assert (cut["tp_size"], cut["tensors_cut"] > 0) == (2, True)
    assert loaded.effective["ranks"] == "shards"
    whole_mb = 4 * loaded.model["parameters"] / 1e6
    assert whole_mb <= loaded.memory["model_mb"] < 1.1 * whole_mb
    assert client.count_flops(prompts, options(8), limit_s=60) is None
    victim = client.hello["ranks"][1]
    threading.Timer(0.5, os.kill, (victim, signal.SIGKILL)).start()
    with pytest.raises(WorkerDied, match=r"rank 1, generate: .* SIGKILL"):
        generate_until_it_fails(client, prompts)
    client.close()
    assert group.members(client.pid) == []


def test_an_engine_alone_refuses_to_be_several(load):
    """Whoever starts it must start as many as the section says."""
    with pytest.raises(ConfigError, match=r"2 processes .* there is 1"):
        load(num_processes=2)


two_gpus = pytest.mark.skipif(
    len(gpu.discover()) < 2, reason="fewer than 2 NVIDIA GPUs"
)


@pytest.mark.gpu
@two_gpus
@pytest.mark.parametrize(
    "section", [{"num_processes": 2}, {"distributed_config": {"tp_size": 2}}]
)
def test_two_gpus_give_the_tokens_of_one(crew, rows, section):
    """Each rank sees exactly its GPU, and the memory of both counts."""
    uuids = [one.uuid for one in gpu.discover()[:2]]
    prompts = rows(*LENGTHS)
    alone, _ = crew(num_processes=1, device="cuda", gpus=uuids[:1])
    expected = tokens(alone.generate(prompts, options(8)))
    alone.close()
    client, loaded = crew(gpus=uuids, **section)
    assert client.hello["devices"] == uuids
    assert loaded.devices == uuids
    got = client.generate(prompts, options(8))
    assert tokens(got) == expected
    assert got.memory["inference_peak_mb"] >= loaded.memory["model_mb"]
    assert client.close() is None
