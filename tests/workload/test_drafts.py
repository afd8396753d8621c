"""A draft model counts by its content, wherever it lies."""

import json

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.workload.drafts import by_content


@pytest.fixture
def model(tmp_path):
    """Make a directory with the files of a model."""

    def make(name, **config):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.bin").write_bytes(b"weights")
        return str(folder)

    return make


@pytest.mark.parametrize(
    "section",
    [
        lambda path: {"assistant_model": path, "num_assistant_tokens": 4},
        lambda path: {"speculative_config": {"model": path, "method": "draft_model"}},
        lambda path: {"speculative_config": {"speculative_model": path}},
    ],
    ids=["transformers", "vllm", "tensorrt"],
)
def test_a_draft_model_moved_is_the_same_and_another_is_not(model, section):
    """By the hashes of its files; the section itself keeps the path."""
    here, there, other = model("here", a=1), model("there", a=1), model("other", a=2)
    asked = section(here)
    found = by_content(asked)
    assert found == by_content(section(there))
    assert found != by_content(section(other))
    assert asked == section(here)


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"assistant_model": "synthetic:llama-tiny"},
        {"speculative_config": {"method": "ngram"}},
        {"speculative_config": None},
    ],
    ids=["empty", "synthetic", "ngram", "unset"],
)
def test_what_lies_nowhere_stays_as_it_is(section):
    """Names are the same on every machine."""
    assert by_content(section) == section


def test_a_path_without_a_model_is_refused(tmp_path):
    """At collection, in one line."""
    with pytest.raises(ConfigError, match="is not a model directory"):
        by_content({"assistant_model": str(tmp_path)})
