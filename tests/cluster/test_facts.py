"""`lem cluster`, on a cluster of three nodes and without one."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app
from pytest_lem.cluster import connect, facts
from pytest_lem.cluster.facts import Cluster, Node
from pytest_lem.report.cluster import lines

HERE = {"plugin": "2.0", "python": "3.11.7", "ray": "2.60.0"}
GPU = {
    "index": 0,
    "uuid": "GPU-1",
    "name": "NVIDIA H100",
    "driver_version": "570.1",
    "power_limit_w": 700.0,
    "mig_parent": None,
}
TOLD = {
    "gpus": [GPU],
    "cpu": {"model": "a CPU", "cores_logical": 8},
    "packages": {"vllm": "0.32.0"},
    "tenants": {"GPU-1": {"foreign_processes": [{"pid": 7, "name": "python"}]}},
    "meters": [
        {"name": "rapl", "works": False, "reason": "rapl: closed"},
        {"name": "nvml", "works": True, "basis": "measured", "power_w": {"gpu": 71.3}},
    ],
}


def node(**more):
    made = Node(
        id="abcdef0123",
        address="10.0.0.1",
        host="one",
        head=True,
        offered={"CPU": 8.0, "GPU": 1.0},
        free={"CPU": 8.0},
        told=TOLD,
        **HERE,
    )
    return replace(made, **more)


def problems(*nodes):
    return list(facts._problems(nodes, HERE))


def test_equal_nodes_have_no_problem():
    assert problems(node(), node(host="two")) == []


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"plugin": "1.0"}, "pytest-lem 1.0, here 2.0; pip install pytest-lem==2.0"),
        ({"python": "3.12.1"}, "Python 3.12.1, here 3.11.7; give every node"),
        ({"ray": "2.50.0"}, "ray 2.50.0, here 2.60.0; pip install ray==2.60.0"),
        ({"told": None, "reason": "no answer within 60 s"}, "no answer within 60 s"),
    ],
)
def test_what_is_wrong_with_a_node_is_named_with_the_remedy(more, named):
    (line,) = problems(node(), node(host="two", **more))
    assert line.startswith(f"two (10.0.0.1): {named}")


def test_engines_and_drivers_that_differ_between_nodes_are_named():
    other = {
        **TOLD,
        "packages": {},
        "gpus": [{**GPU, "driver_version": "560.2"}],
    }
    found = problems(node(), node(host="two", told=other))
    assert [line.partition(";")[0] for line in found] == [
        "vllm differs: 0.32.0 on one",
        "NVIDIA driver differs: 570.1 on one",
    ]


def test_people_are_told_of_gpus_tenants_meters_and_what_is_free():
    found = Cluster(
        address="10.0.0.1:6379",
        nodes=[node()],
        jobs=[{"id": "02", "driver": "10.0.0.9:11", "entrypoint": "train.py\x1b[2J"}],
        problems=["one is odd"],
    )
    text = "\n".join(lines(found))
    for part in (
        "cluster at 10.0.0.1:6379: 1 node, 1 GPU",
        "free: 8 of 8 CPU, 0 of 1 GPU",
        "GPU 0: NVIDIA H100, GPU-1, driver 570.1, 700 W; tenants: 7 (python)",
        "rapl: no, rapl: closed",
        "nvml: measured, gpu 71.3 W",
        "another job, 02 of 10.0.0.9:11: train.py",
        "problem: one is odd",
    ):
        assert part in text
    assert "\x1b" not in text


def test_an_address_where_nothing_listens_is_named_at_once():
    pytest.importorskip("ray")
    done = CliRunner().invoke(app, ["cluster", "127.0.0.1:9"])
    assert done.exit_code == 2
    assert "no Ray cluster answers at 127.0.0.1:9" in done.stderr


def lem(address, *arguments):
    command = [sys.executable, "-m", "pytest_lem.cli", "cluster", address]
    return subprocess.run(
        [*command, "--seconds=0.5", "--meter=rapl,fake", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200"},
    )


@pytest.mark.slow
def test_three_nodes_tell_what_they_have_and_what_is_free(three_nodes):
    done = lem(three_nodes.address, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert len(found["nodes"]) == 3
    assert next(one["labels"]["name"] for one in found["nodes"]) == "head"
    for one in found["nodes"]:
        assert one["free"]["CPU"] == one["offered"]["CPU"] == 2.0
        assert one["told"]["packages"]["ray"] == one["ray"]
        meters = {meter["name"]: meter for meter in one["told"]["meters"]}
        assert meters["fake"]["power_w"]["gpu"] == pytest.approx(200, rel=0.05)
    assert found["problems"] == found["jobs"] == []


@pytest.mark.slow
def test_another_job_and_what_it_holds_are_told(three_nodes):
    code = (
        "import ray, sys, time\n"
        "ray.init(address=sys.argv[1], log_to_driver=False)\n"
        "@ray.remote(num_cpus=2)\n"
        "class Tenant:\n    def here(self): return True\n"
        "tenant = Tenant.remote()\n"
        "print(ray.get(tenant.here.remote()), flush=True)\n"
        "sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, three_nodes.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout.readline().strip() == "True"
        told = lem(three_nodes.address).stdout
        other.stdin.close()
    assert told.count("free: 0 of 2 CPU") == 1
    assert told.count("free: 2 of 2 CPU") == 2
    assert "another job, " in told


def test_a_cluster_that_lets_nobody_in_without_a_token_is_told_from_none():
    refused = ConnectionError("Failed to connect to Ray cluster")
    assert "set RAY_AUTH_MODE=token" in connect._in_words("10.0.0.1:6379", refused)
    assert "`ray start --head`" in connect._in_words("auto", refused)
