"""The workflows of docs/ci.md: YAML that GitHub knows, commands that we know."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from pytest_lem.cli import app
from pytest_lem.front.settings import check, resolve

PAGE = (Path(__file__).parent.parent / "docs" / "ci.md").read_text()
WORKFLOWS = [
    yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
]
OTHERS = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


def commands(text, variables):
    """The words of each line of a shell that runs one of ours."""
    for line in text.replace("\\\n", " ").splitlines():
        told = re.sub(r"\$([A-Z_]+)", lambda m: variables.get(m[1], m[1]), line)
        words = shlex.split(told)
        if words and words[0] in ("lem", "pytest"):
            yield words


def steps(workflow):
    """Each step of a workflow with the variables that it has."""
    for job in workflow["jobs"].values():
        yield from ((step, job.get("env", {})) for step in job["steps"])


WRITTEN = [
    words
    for workflow in WORKFLOWS
    for step, variables in steps(workflow)
    for words in commands(step.get("run", ""), variables)
]
WRITTEN += [words for text in OTHERS for words in commands(text, {})]


@pytest.mark.parametrize("words", WRITTEN, ids=" ".join)
def test_a_command_of_the_page_is_one_of_ours(words, pytester):
    """Commands, options and their values are known; what is behind -- pytest reads."""
    if words[0] == "lem":
        (pytester.path / "lem.json").touch()
        parse(typer.main.get_command(app), words[1:])
        words = words[words.index("--") :] if "--" in words else ["pytest"]
    config = pytester.parseconfig(*words[1:])
    check(config, resolve(config))


def parse(command, words):
    """Let the command, or that below it, read its arguments; run nothing."""
    while below := getattr(command, "commands", None):
        name, *words = words
        command = below[name]
    with command.make_context("lem", words):
        pass


def test_each_workflow_measures_alone_on_a_machine_of_its_own():
    """Jobs that share a GPU wait for each other, and may write nothing."""
    assert len(WORKFLOWS) == 3
    assert len(WRITTEN) >= 6
    for workflow in WORKFLOWS:
        assert workflow["concurrency"]["group"] == "lem-gpu"
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            assert "self-hosted" in job["runs-on"]
            assert job["timeout-minutes"] > 0
        for step, _ in steps(workflow):
            assert ("run" in step) != ("uses" in step)
            assert "${{" not in step.get("run", "")
