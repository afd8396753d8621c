"""`--lem-python`: engines of other environments in one session."""

import platform
import sys
import venv
from pathlib import Path

import pytest

import pytest_lem

SOURCE = """
import pytest

@pytest.mark.lem
def test_it(lem):
    lem()
"""
OPTIONS = ("--lem-cycles=1", "--lem-json=r.json")


@pytest.fixture
def other(project):
    """The Python of an environment that has the plugin, and none of what it needs."""
    folder = project.path / "other"
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python3*/site-packages")
    root = Path(pytest_lem.__file__).parents[1]
    (packages / "lem.pth").write_text(f"{root}\n")
    return folder / "bin" / "python"


@pytest.fixture
def both(extend):
    """A second backend beside the fake one."""
    extend("""
def pytest_lem_register_engines(registry):
    from pytest_lem.engines.registry import EngineEntry
    target = "pytest_lem.engines.fake:FakeEngine"
    registry.add(EngineEntry(name="double", target=target))
    registry.add(EngineEntry(name="absent", target="no_such_engine:Engine"))
    registry.add(EngineEntry(name="needy", target=target, requires=["no_such_engine"]))
""")


def test_two_backends_run_in_two_environments(both, run, report, other):
    """Each record names its worker's own Python; the header too."""
    pair = f"--lem-python=double={other}"
    done = run(SOURCE, "--lem-backend=fake,double", pair, *OPTIONS)
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines([f"*double ({other})*"])
    found = {one.spec["backend"]: one.cycles[0] for one in report().experiments}
    assert found["fake"].worker["executable"] == sys.executable
    assert found["double"].worker["executable"] == str(other)
    for cycle in found.values():
        assert cycle.worker["plugin"] == pytest_lem.__version__
        assert cycle.engine["version"] == "1"
        assert cycle.worker["python"] == platform.python_version()


def test_the_command_line_wins_over_the_file_backend_by_backend(
    both, run, project, report, other
):
    """One of each place is used."""
    ini = (project.path / "pytest.ini").read_text()
    places = f"\nlem_python =\n    double={other}\n    fake=/nix\n"
    (project.path / "pytest.ini").write_text(ini + places)
    here = f"--lem-python=fake={sys.executable}"
    run(SOURCE, "--lem-backend=fake,double", here, *OPTIONS).assert_outcomes(passed=2)
    paths = [one.cycles[0].worker["executable"] for one in report().experiments]
    assert paths == [sys.executable, str(other)]


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("--lem-python=fake", "is not BACKEND=PATH"),
        ("--lem-python=fkae=/x", "--lem-python: backend 'fkae' is unknown; did you me"),
        ("--lem-python=fake=/nix", "--lem-python fake=/nix: /nix does not exist"),
        ("--lem-python=absent=OTHER", "'no_such_engine', which is not installed in"),
        ("--lem-python=transformers=OTHER", "'torch' and 'transformers', which are no"),
    ],
)
def test_a_python_that_cannot_be_used_is_one_line(
    both, run, project, errors_of, other, argument, line
):
    """Before anything runs; what an engine needs is looked for in that Python."""
    backend = argument.split("=")[1].replace("fkae", "fake")
    argument = argument.replace("OTHER", str(other))
    result = run(SOURCE, f"--lem-backend={backend}", argument)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (told,) = errors_of(result)
    assert line in told
    assert not (project.path / ".lem").exists()


def test_tests_of_an_engine_that_is_not_installed_may_be_skipped(both, run, report):
    """With the line that would else be the error; the others run."""
    options = ("--lem-backend=fake,needy", "-rs", *OPTIONS)
    assert run(SOURCE, *options).ret == pytest.ExitCode.USAGE_ERROR
    done = run(SOURCE, *options, "--lem-missing=skip")
    done.assert_outcomes(passed=1, skipped=1)
    line = "backend 'needy' needs 'no_such_engine', which is not installed"
    done.stdout.fnmatch_lines(["lem plan: 1 experiment*", f"SKIPPED * {line}"])
    (skipped,) = report().plan.skipped
    assert skipped == {"experiment_id": "test_it.py::test_it[needy]", "reason": line}
    alone = run(SOURCE, "--lem-backend=needy", "--lem-missing=skip")
    alone.assert_outcomes(skipped=1)


def test_what_is_asked_wrongly_is_no_engine_that_is_missing(both, run, other):
    """It is said in a line, and nothing is skipped for it."""
    for asked in ("--lem-python=needy=/nix", "--lem-set=needy=3"):
        done = run(SOURCE, "--lem-backend=needy", asked, "--lem-missing=skip")
        assert done.ret == pytest.ExitCode.USAGE_ERROR


def test_versions_are_those_of_the_other_environment(run, other):
    """A version out of range there is warned of, whatever is installed here."""
    (packages,) = other.parents[1].glob("lib/python3*/site-packages")
    for name, version in {"torch": "2.13.0", "transformers": "4.1.0"}.items():
        (packages / name).mkdir()
        (packages / name / "__init__.py").write_text("")
        info = packages / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    pair = f"--lem-python=transformers={other}"
    done = run(SOURCE, "--lem-backend=transformers", pair, "--lem-plan")
    done.stdout.fnmatch_lines(["*LemConfigWarning: transformers 4.1.0 is outside of*"])


def test_a_campaign_sends_each_backend_to_its_own_environment(
    both, run, project, report, other
):
    """A grid over backends, one of them elsewhere and with a section of its own."""
    grid = "vary:\n  backend: [fake, double]\n  double: {token_s: [0.001, 0.002]}\n"
    (project.path / "g.lem.yaml").write_text(f"base_config: {{}}\n{grid}")
    run(None, f"--lem-python=double={other}", *OPTIONS).assert_outcomes(passed=3)
    found = [(one.id, one.cycles[0].worker) for one in report().experiments]
    assert [
        (name.partition("::")[2], worker["executable"]) for name, worker in found
    ] == [
        ("backend=fake", sys.executable),
        ("backend=double-double.token_s=0.001", str(other)),
        ("backend=double-double.token_s=0.002", str(other)),
    ]
