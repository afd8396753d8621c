"""Another package's backend and meter, installed as anybody's, and its page."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_lem

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests" / "data" / "parrot"
FILES = [path for path in sorted(PACKAGE.rglob("*")) if path.suffix in (".py", ".toml")]
SOURCE = """
import pytest

@pytest.mark.lem(parrot={"pause_s": 0.01})
def test_it(lem):
    assert lem().output_throughput_tps < 100
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package in a folder of its own, as pip installs it, without an index."""
    for tool in ("hatchling", "pip"):
        if importlib.util.find_spec(tool) is None:
            pytest.skip(f"no package can be installed: {tool} is not there")
    folder = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-index", "--no-build-isolation", "--target", folder, PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    here = str(Path(pytest_lem.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), here]))


def test_an_installed_package_s_backend_and_meter_are_used_by_name(
    installed, project, report
):
    """Nothing else is told; its section and its argument reach it."""
    project.makepyfile(test_it=SOURCE)
    options = ("--lem-backend=parrot", "--lem-meter=cpuload:8", "--lem-json=r.json")
    options = (*options, "--lem-quality=perplexity")
    done = project.runpytest_subprocess("-v", "-o", "lem_set=output_tokens=8", *options)
    done.assert_outcomes(passed=1)
    (one,) = report().experiments
    cycle = one.cycles[0]
    assert cycle.engine == {"name": "parrot", "version": "0.3.1"}
    assert cycle.effective["pause_s"] == 0.01
    assert one.nulls["quality.perplexity"] == "engine_tells_no_likelihood"
    (meter,) = report().session.meters
    assert (meter["name"], meter["facts"]) == ("cpuload", {"watts_per_core": 8.0})
    assert cycle.windows[0].energy.basis == "estimated"


def test_what_the_other_package_refuses_is_told_as_ours_is(
    installed, project, errors_of
):
    """By its own words."""
    project.makepyfile(test_it=SOURCE)
    done = project.runpytest_subprocess(
        "--lem-backend=parrot", "--lem-meter=cpuload:hot"
    )
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*cpuload: 'hot' is no power in watts*"])


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_the_page_shows_the_package_as_it_is(file):
    """Whoever follows it has what is tested here."""
    page = (ROOT / "docs" / "extending.md").read_text()
    language = "toml" if file.suffix == ".toml" else "python"
    name = file.relative_to(PACKAGE).as_posix()
    assert f"`{name}`:\n\n```{language}\n{file.read_text()}```\n" in page
