"""The manifests and scripts of the page on clusters are what their readers can run."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pytest_lem.front.options import OPTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SHELL = [text for kind, text in BLOCKS if kind in ("sh", "bash")]


@pytest.mark.parametrize("script", SHELL)
def test_a_script_is_one_to_the_shell(script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_the_job_of_slurm_starts_ray_on_all_of_its_nodes():
    (job,) = [text for text in SHELL if "#SBATCH" in text]
    assert job.startswith("#!/bin/bash\n#SBATCH")
    assert job.index("ray start --head") < job.index("ray start --address")
    assert job.index("RAY_ADDRESS=") < job.index("pytest ")
    (python,) = re.findall(r"<<'WAIT'\n(.*?)^WAIT$", job, re.MULTILINE | re.DOTALL)
    compile(python, "wait", "exec")


def test_the_manifest_gives_each_machine_one_pod_with_gpus_and_nvml():
    (text,) = [text for kind, text in BLOCKS if kind == "yaml"]
    made = yaml.safe_load(text)
    assert (made["apiVersion"], made["kind"]) == ("ray.io/v1", "RayCluster")
    (group,) = made["spec"]["workerGroupSpecs"]
    pod = group["template"]["spec"]
    (container,) = pod["containers"]
    resources = container["resources"]
    assert resources["requests"] == resources["limits"]
    assert "nvidia.com/gpu" in resources["limits"]
    assert {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "compute,utility"} in (
        container["env"]
    )
    assert pod["hostPID"] is True
    assert {one["name"] for one in container["volumeMounts"]} == {
        one["name"] for one in pod["volumes"]
    }
    assert not any("securityContext" in one for one in (pod, container))


def test_options_that_the_page_names_are_there():
    named = set(re.findall(r"--lem-[a-z-]+", PAGE))
    known = {one.flag for one in OPTIONS if not one.ini_only}
    assert named
    assert named <= known
