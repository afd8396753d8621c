"""The pages on parameters are those that the models make."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app
from pytest_lem.report.pages import pages

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", pages())
def test_a_page_is_what_the_models_say(name):
    """Make it anew with `python -m pytest_lem.report.pages docs`."""
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name]


def run(*arguments):
    return CliRunner().invoke(app, ["params", *arguments])


def test_the_command_lists_parameters_as_lines_and_as_json():
    """One a line, of one backend or of all."""
    line = next(one for one in run("--backend=trt").output.splitlines() if "n " in one)
    assert line.startswith("tensorrt.")
    rows = [json.loads(one) for one in run("--json").output.splitlines()]
    paths = {row["path"] for row in rows}
    assert {"model", "decoder.top_p", "vllm.max_num_seqs"} <= paths
    assert all(row["effect"] for row in rows)
    assert "[not driven yet]" in run("--backend=vllm").output
    assert "[not driven yet]" not in run("--backend=universal").output


def test_the_command_prints_json_schema():
    """That of the section, with units and targets."""
    schema = json.loads(run("--backend=vllm", "--schema").output)
    assert schema["properties"]["max_num_seqs"]["unit"] == "requests"


def test_an_unknown_backend_is_told_with_the_nearest():
    """In one line, with the code of a usage error."""
    result = run("--backend=transformer")
    assert result.exit_code == 2
    assert "did you mean 'transformers'?" in result.output


@pytest.fixture
def bare(tmp_path):
    """A Python without any engine."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    script.chmod(0o755)
    return f"--python={script}"


def test_the_difference_says_when_an_engine_is_not_installed(bare):
    """Nothing is compared with nothing; JSON says null."""
    told = run("--backend=vllm", "--diff", bare).output
    assert told == "vLLM is not installed here: nothing to compare with\n"
    told = json.loads(run("--backend=vllm", "--diff", "--json", bare).output)
    assert told["version"] is None


def test_the_difference_with_what_was_written_down_says_so(bare):
    """Where that is all there is."""
    head, *lines = run("--backend=trt", "--diff", bare).output.splitlines()
    assert head.startswith("TensorRT-LLM 1.4")
    assert "recorded, for it is not installed here" in head
    assert lines[0].startswith("  same ")
    assert not [line for line in lines if line.startswith("  new ")]


def test_signatures_are_recorded_of_one_engine_that_is_there(bare, tmp_path):
    """In one line each, with the code of a usage error."""
    file = tmp_path / "x.json"
    several = run(f"--record={file}")
    assert several.exit_code == 2
    assert "--record needs --backend" in several.output
    absent = run("--backend=trt", f"--record={file}", bare)
    assert absent.exit_code == 2
    assert "tensorrt is not installed in" in absent.output
    universal = run("--backend=universal", f"--record={file}")
    assert "backend 'universal' is unknown" in universal.output
    assert not file.exists()
