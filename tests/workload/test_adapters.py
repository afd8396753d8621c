"""An adapter counts by its content, wherever it lies."""

import json

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.workload.adapters import fingerprint


def adapter(folder, weights=b"weights", **config):
    """A directory with the files of an adapter."""
    folder.mkdir(parents=True)
    told = {"r": 4, "base_model_name_or_path": str(folder.parent), **config}
    (folder / "adapter_config.json").write_text(json.dumps(told))
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return str(folder)


def test_an_adapter_moved_is_the_same(tmp_path):
    """Its config names the directory of a model, which says nothing of the adapter."""
    here = fingerprint(adapter(tmp_path / "here"))
    assert fingerprint(adapter(tmp_path / "moved" / "there")) == here


@pytest.mark.parametrize("changed", [{"weights": b"Weights"}, {"r": 8}])
def test_an_adapter_of_other_content_is_another(tmp_path, changed):
    """Weights of the same shape and size differ in their values alone."""
    here = fingerprint(adapter(tmp_path / "here"))
    assert fingerprint(adapter(tmp_path / "there", **changed)) != here


def test_a_hub_id_is_its_name_and_its_revision():
    """The network is left to the engine."""
    assert fingerprint("owner/lora") == {"name": "owner/lora"}
    pinned = {"name": "owner/lora", "revision": "refs/pr/1"}
    assert fingerprint("owner/lora@refs/pr/1") == pinned


@pytest.mark.parametrize("name", ["", "owner/lora@", "owner/two words", "a/b/c"])
def test_what_is_neither_a_path_nor_a_hub_id_is_refused(name):
    """With what it could be."""
    with pytest.raises(ConfigError, match=r"neither a directory nor a hub id \(owner/"):
        fingerprint(name)


def test_a_directory_that_is_no_adapter_is_told_in_one_line(tmp_path):
    """What is missing, with its path."""
    with pytest.raises(
        ConfigError, match=r"^adapter .*adapter_config\.json is missing"
    ):
        fingerprint(str(tmp_path))
    whole = adapter(tmp_path / "a")
    (tmp_path / "a" / "adapter_model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"adapter_model\.\* is missing"):
        fingerprint(whole)
    (tmp_path / "a" / "adapter_config.json").write_text("[]")
    with pytest.raises(ConfigError, match="holds no JSON object"):
        fingerprint(whole)
