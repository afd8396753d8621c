"""`lem explain`: values and origins of what pytest would run."""

import json
import sys

import pytest

SOURCE = """
import pytest

@pytest.mark.lem(max_output_tokens=5, decoder={"temperature": 0.2})
@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size):
    raise AssertionError("this must not run")

def test_plain():
    pass
"""


@pytest.fixture
def explain(project):
    """`lem explain ...` in the project, in a process of its own."""
    project.makepyfile(test_it=SOURCE)

    def explain(*arguments):
        command = [sys.executable, "-m", "pytest_lem.cli", "explain", *arguments]
        return project.run(*command)

    return explain


def test_each_key_is_told_with_its_value_and_where_it_came_from(explain, project):
    """Ini, marker, parametrisation, preset and command line, by the item's name."""
    options = ("-k", "1", "--lem-preset=creative", "--lem-seed=7")
    result = explain("test_it.py", *options)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "test_it.py::test_it[[]fake-1] * (identity ????????????????)",
            "  backend  * fake  * ini",
            "  precision  * unset (float16 on GPUs, *  default",
            "  fake.token_s  * 0.001  * ini",
            "  output_tokens  * 5  * marker",
            "  batch_size  * 1  * parametrize",
            "  seed  * 7  * cli",
            "  arrivals  * unset (batch by batch)  * default",
            "  decoder.temperature  * 0.2  * marker",
            "  decoder.top_p  * 0.9  * preset creative",
            "  note: 'max_output_tokens' is the older name of 'output_tokens'; *",
        ]
    )
    result.stdout.no_fnmatch_line("*fake-2*")
    assert not (project.path / ".lem").exists()


def test_when_requests_are_due_is_told_key_by_key(explain):
    """With the origin of each."""
    wishes = ("arrivals.mode=constant", "arrivals.rate_rps=10", "requests=4")
    result = explain("test_it.py", *(f"--lem-set={one}" for one in wishes))
    assert result.ret == 0
    result.stdout.fnmatch_lines(["  arrivals.rate_rps  * 10*  * cli"])


def test_json_has_an_object_a_line(explain):
    """With the identity under which the records are found again."""
    result = explain("--json", "test_it.py::test_it")
    first, second = map(json.loads, result.outlines)
    assert first["id"] == "test_it.py::test_it[fake-1]"
    assert first["identity"] != second["identity"]
    settings = {one["key"]: one for one in first["settings"]}
    assert settings["output_tokens"]["value"] == 5
    assert settings["cycles"] == {
        "key": "cycles",
        "value": 2,
        "origin": "ini",
        "unset": "",
    }


def test_what_pytest_refuses_is_told_with_its_exit_code(explain):
    """A missing file, a wrong option, a wrong marker."""
    result = explain("nix.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*nix.py*"])
    result = explain("test_it.py", "--lem-set=batchsize=1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_it[[]fake-1]: key 'batchsize' is unknown;*"])


def test_a_project_without_experiments_says_so(explain):
    """Nothing is printed as if there were something."""
    result = explain("test_it.py::test_plain")
    assert (result.ret, result.outlines) == (0, [])
    result.stderr.fnmatch_lines(["no experiments there: *"])
