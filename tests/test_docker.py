"""What ships to run engines in containers: one way for each, and no rights to spare."""

from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[1] / "docker"
BACKENDS = ("tensorrt", "transformers", "vllm")
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())


def lines(backend):
    """The instructions of a Dockerfile, each whole."""
    text = (FOLDER / f"{backend}.Dockerfile").read_text().replace("\\\n", "")
    return [one for one in text.splitlines() if one and not one.startswith("#")]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_name_of_a_backend_is_enough_to_find_its_image(backend):
    """Its Dockerfile, its service and the image that `--lem-image` means."""
    service = COMPOSE["services"][backend]
    assert service["build"]["dockerfile"] == f"docker/{backend}.Dockerfile"
    assert service["image"] == f"lem-{backend}"
    text = (FOLDER / f"{backend}.Dockerfile").read_text()
    assert f"docker build -f docker/{backend}.Dockerfile -t lem-{backend} ." in text


@pytest.mark.parametrize("backend", BACKENDS)
def test_images_are_built_in_stages_and_run_as_nobody_s_root(backend):
    """What builds stays behind; one argument says what both stages begin with."""
    told = lines(backend)
    assert [one for one in told if one.startswith("FROM")] == [
        "FROM ${BASE} AS build",
        "FROM ${BASE}",
    ]
    assert told[0].startswith("ARG BASE=")
    assert told[-1] == "USER 1000:1000"
    assert not [one for one in told if "TOKEN" in one or "--privileged" in one]


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_services_have_what_engines_need_and_no_more(name):
    """Shared memory, the caller's number, the token as a file; never privileged."""
    service = COMPOSE["services"][name]
    assert "privileged" not in service
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "${UID:-1000}:${GID:-1000}"
    assert service["shm_size"] == "8gb"
    assert service["secrets"] == ["hf_token"]
    assert service["healthcheck"]["test"][:2] == ["CMD", "lem"]
    variables = service["environment"]
    assert variables["HF_TOKEN_PATH"] == "/run/secrets/hf_token"
    assert "HF_TOKEN" not in variables
    assert ("deploy" in service) == (not name.endswith("-cpu"))
