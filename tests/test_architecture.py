"""How the house is built, read from its own source: rooms, walls and sizes."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pytest_lem"

# From top to bottom: a room imports only from itself and from rooms above it.
ROOMS = (
    ("errors",),
    ("spec",),
    ("analysis",),
    ("records",),
    ("store",),
    ("machine",),
    ("workload",),
    ("engines",),
    ("worker",),
    ("meters",),
    ("doctor",),
    ("cluster",),
    ("measure",),
    ("gate",),
    ("report",),
    ("schedule",),
    ("rounds",),
    ("web",),
    ("front", "plugin", "hookspecs"),
    ("cli",),
)
FRONT_DOOR = next(room for room in ROOMS if "plugin" in room)
ENGINE_LIBRARIES = {"torch", "transformers", "vllm", "tensorrt_llm"}
DRIVERS = tuple(
    f"pytest_lem.engines.{name}." for name in ("transformers", "vllm", "tensorrt")
)
ENGINE_NAMES = re.compile(r"\b(transformers|pytorch|vllm|tensorrt|trt)\b")
RUNS = re.compile(r'^if __name__ == "__main__":$', re.MULTILINE)
HEAVY = {
    "numpy",
    "pyarrow",
    "pydantic",
    "pynvml",
    "rich",
    "scipy",
    "sqlalchemy",
    "torch",
    "yaml",
}
WORKER_SIDE = (
    "pytest_lem.worker.__main__",
    "pytest_lem.worker.serve",
    "pytest_lem.worker.protocol",
    "pytest_lem.engines",
    "pytest_lem.engines.fake",
    "pytest_lem.errors",
)


def modules():
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


@cache
def tree(module):
    """The module's syntax tree."""
    return ast.parse(MODULES[module].read_text())


def imports(module):
    """(line, dotted name) of every import, inside functions and for types as well.

    Imports for types count: a room that needs another's types knows that room.
    """
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}:{node.lineno} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield node.lineno, whole if whole in MODULES else node.module


def outside(name):
    """The library that a dotted name belongs to; None for the package itself."""
    library = name.partition(".")[0]
    return None if library == "pytest_lem" else library


def place(module):
    """How far down the module's room lies."""
    name = module.split(".")[1]
    return next(k for k, room in enumerate(ROOMS) if name in room)


def text_files():
    """The files under version control that are text."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("this is no git checkout: which files are committed is unknown")
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" not in content:
            yield path.relative_to(ROOT), content.decode(errors="replace")


def run_python(*arguments, **environment):
    """The output of an interpreter started in the checkout."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment or None,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_has_a_room():
    """A module that no room holds must first be given its place."""
    rooms = {name for room in ROOMS for name in room}
    homeless = [m for m in MODULES if "." in m and m.split(".")[1] not in rooms]
    assert not homeless


def test_the_page_on_architecture_names_every_room():
    """The list in the documentation is the list that is enforced, in its order."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (`[^|]+) \| .+\|$", page, re.MULTILINE)
    told = [re.findall(r"`(\w+)(?:/|\.py)`", row) for row in rows]
    built = [
        [*room]
        for room in ROOMS
        if (PACKAGE / room[0]).exists() or (PACKAGE / f"{room[0]}.py").exists()
    ]
    assert told == built


@pytest.mark.parametrize("module", [m for m in MODULES if "." in m])
def test_a_room_imports_only_from_rooms_above_it(module):
    """Imports flow one way, those inside functions and for types included."""
    below = [
        f"{MODULES[module].relative_to(ROOT)}:{line} imports {name}"
        for line, name in imports(module)
        if "." in name and outside(name) is None and place(name) > place(module)
    ]
    assert not below


def test_the_package_imports_none_of_its_rooms_by_itself():
    """`import pytest_lem`, which every pytest run does, loads no other module of it."""
    loaded = run_python(
        "-c",
        "import sys, pytest_lem; "
        "print(*(m for m in sys.modules if m.startswith('pytest_lem')))",
    )
    assert loaded.split() == ["pytest_lem"]


def test_only_the_front_door_imports_pytest():
    """Rooms behind the front door work without pytest."""
    knowing = [
        module
        for module in MODULES
        if {outside(name) for _, name in imports(module)} & {"pytest", "_pytest"}
        and module.split(".")[1] not in FRONT_DOOR
    ]
    assert not knowing


def test_only_the_loop_touches_the_inside_of_pytest():
    """One module is to be looked at when pytest changes within."""
    inside = {
        module
        for module in MODULES
        for _, name in imports(module)
        if outside(name) == "_pytest"
    }
    assert inside == {"pytest_lem.front.loop"}


def test_only_an_engine_imports_its_library():
    """Nothing but `engines/<name>/`, loaded in a worker, imports what it drives."""
    elsewhere = [
        f"{MODULES[module].relative_to(ROOT)}:{line} imports {name}"
        for module in MODULES
        for line, name in imports(module)
        if outside(name) in ENGINE_LIBRARIES and not module.startswith(DRIVERS)
    ]
    assert not elsewhere


def test_pytest_never_imports_an_engine():
    """The modules that import an engine's library are imported by no other room."""
    engines = {
        module
        for module in MODULES
        if ENGINE_LIBRARIES & {outside(name) for _, name in imports(module)}
    }
    assert engines
    importing = {
        module
        for module in MODULES
        for _, name in imports(module)
        if name in engines and not module.startswith("pytest_lem.engines.")
    }
    assert not importing


@pytest.mark.parametrize("room", ["worker", "measure", "schedule", "meters"])
def test_what_starts_and_measures_engines_knows_none_by_name(room):
    """Another engine needs no change in the rooms that start and measure it."""
    naming = [
        f"{path.relative_to(ROOT)}:{k}: {line.strip()}"
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for k, line in enumerate(path.read_text().splitlines(), 1)
        if ENGINE_NAMES.search(line)
    ]
    assert not naming


def test_importing_the_plugin_imports_nothing_heavy():
    """What metering and reports need is loaded when they are first needed."""
    loaded = run_python("-c", "import sys, pytest_lem.plugin; print(*sys.modules)")
    assert "pytest_lem.plugin" in loaded.split()
    assert not HEAVY & set(loaded.split())


def test_a_session_without_experiments_loads_nothing_heavy(tmp_path):
    """From options to exit code, a project's other tests do not pay for the plugin."""
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    pass\n")
    (tmp_path / "conftest.py").write_text(
        "import sys\n"
        "def pytest_unconfigure(config):\n"
        "    print('LOADED', *sys.modules)\n"
    )
    output = run_python(
        *("-m", "pytest", "-q", "-s", "-p", "pytest_lem.plugin"),
        *("-c", "/dev/null", f"--rootdir={tmp_path}", str(tmp_path)),
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )
    loaded = output.partition("LOADED")[2].split()
    assert "pytest_lem.front.options" in loaded
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize("module", WORKER_SIDE)
def test_a_worker_needs_only_the_standard_library(module):
    """`pip install --no-deps` suffices beside an engine: no other package is there."""
    code = f"import sys; sys.path.append({str(ROOT)!r}); import {module}"
    run_python("-I", "-S", "-c", code)


def test_worker_side_modules_import_only_the_standard_library_later_too():
    """What they import inside functions, and what that imports, is standard as well."""
    assert not strangers(WORKER_SIDE, known=set())


def test_an_engine_needs_its_library_and_nothing_that_this_package_depends_on():
    """Beside an engine `pip install --no-deps` suffices; libraries bring numpy."""
    engines = [module for module in MODULES if module.startswith(DRIVERS)]
    assert engines
    beside = {"huggingface_hub", "numpy", "peft", "ray", "torchao"}
    assert not strangers(engines, known=ENGINE_LIBRARIES | beside)


def strangers(modules, *, known):
    """Imports that are neither ours, nor standard, nor known, however far away."""
    seen, waiting, strange = set(), list(modules), []
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        for line, name in imports(module):
            library = outside(name)
            if library is None and name != "pytest_lem":
                waiting.append(name)
            elif library and library not in {*sys.stdlib_module_names, *known}:
                strange.append(f"{module}:{line} imports {name}")
    return strange


def test_no_module_is_an_orphan():
    """Each module is reached from an entry point: by import or by name in a table."""
    waiting = ["pytest_lem", "pytest_lem.plugin", "pytest_lem.cli"]
    waiting += [m for m, path in MODULES.items() if RUNS.search(path.read_text())]
    reached = set()
    while waiting:
        module = waiting.pop()
        if module not in MODULES or module in reached:
            continue
        reached.add(module)
        waiting.append(module.rpartition(".")[0])
        waiting += [name for _, name in imports(module)]
        waiting += [
            node.value.partition(":")[0]
            for node in ast.walk(tree(module))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    assert not set(MODULES) - reached


@pytest.mark.parametrize("module", MODULES)
def test_a_file_stays_small(module):
    """A file of more than 400 lines holds more than one idea."""
    assert len(MODULES[module].read_text().splitlines()) <= 400


def test_nothing_is_left_to_be_done_later():
    """The package holds no note of unfinished work."""
    note = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    notes = [
        f"{path.relative_to(ROOT)}:{k}: {line.strip()}"
        for path in MODULES.values()
        for k, line in enumerate(path.read_text().splitlines(), 1)
        if note.search(line)
    ]
    assert not notes


def test_no_committed_file_names_a_place_of_one_machine():
    """Paths of the checkout and of the environment in use are nobody else's."""
    shared = {Path(p) for p in ("/", "/home", "/opt", "/root", "/srv", "/tmp")}
    places = {ROOT, ROOT.parent}
    if sys.prefix != sys.base_prefix:
        places |= {Path(sys.prefix), Path(sys.prefix).parent}
    words = "|".join(re.escape(str(one)) for one in sorted(places - shared))
    named = re.compile(rf"(?<![\w./-])(?:{words})(?![\w-])")
    naming = [
        f"{path}:{k}: {line.strip()[:80]}"
        for path, text in text_files()
        for k, line in enumerate(text.splitlines(), 1)
        if named.search(line)
    ]
    assert not naming
