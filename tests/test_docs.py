"""The pages agree with the code."""

import re
from pathlib import Path

import pytest

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.front.options import OPTIONS
from pytest_lem.measure import cycle
from pytest_lem.records.export import CYCLE_COLUMNS, columns
from pytest_lem.spec.effort import Effort, Warmup
from pytest_lem.workload.models import synthetic_names

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text()
DEFAULTS = {option.name: option.default for option in OPTIONS}


def test_the_table_of_metrics_is_the_code_s():
    """Each metric stands on the page with its unit, direction and meaning, in order."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \| (.+) \|$", page, re.MULTILINE)
    told = [
        (name, info.unit, info.better or "-", info.meaning)
        for name, info in METRICS.items()
    ]
    assert rows == told


def test_the_page_on_reports_has_the_columns_of_csv_in_their_order():
    """A script may count on them."""
    page = (ROOT / "docs" / "reports.md").read_text()
    blocks = re.findall(r"```csv\n(.*?)```", page, re.DOTALL)
    first, later, of_cycles = (block.split() for block in blocks)
    intervals = [f"{name}_ci_{end}" for name in METRICS for end in ("low", "high")]
    assert [*first, *intervals, *later] == columns()
    assert of_cycles == [*CYCLE_COLUMNS]


def test_the_methodology_states_the_defaults_of_the_code():
    """Every default in the table of cycles, windows and warm-up is the one in force."""
    page = (ROOT / "docs" / "methodology.md").read_text()
    warm, effort = Warmup(), Effort()
    stated = [
        f"| cycles | {DEFAULTS['cycles']} |",
        f"| order | {DEFAULTS['order']}:",
        (
            f"of the last {warm.window} iterations is at most {warm.cv}; "
            f"at least {warm.least}, at most {warm.most}"
        ),
        (
            f"`{effort.windows}`: at least {cycle.LEAST_WINDOWS}, and at least "
            f"{effort.min_seconds:g} s and {cycle.LEAST_PERIODS} counter periods"
        ),
        f"| limit | {effort.max_seconds:g} s of windows per cycle |",
        f"| idle reading | {DEFAULTS['idle-seconds']:g} s in each state, and half as",
    ]
    assert [text for text in stated if text not in page] == []
    assert effort.cycles == DEFAULTS["cycles"]
    assert effort.max_seconds == DEFAULTS["max-seconds"]
    assert effort.min_seconds == DEFAULTS["min-seconds"]
    assert Warmup.parse(DEFAULTS["warmup"]) == warm


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_named_on_a_page_exist(page):
    """No page speaks of an option or ini key that there is not."""
    text = page.read_text()
    known = {option.flag for option in OPTIONS if not option.ini_only}
    inis = {option.dest for option in OPTIONS}
    assert set(re.findall(r"--lem-[a-z-]+", text)) <= known
    named = set(re.findall(r"(?<![\w.])lem_[a-z_]+", text))
    others = {"lem_backend", "lem_grid"}
    assert {name for name in named if name != "lem_"} <= inis | others


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Every relative link on a page names a file that is there."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_s_experiment_runs_as_it_stands(pytester):
    """The file on the first screen is a whole experiment."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    pytester.makepyfile(test_decode=blocks[0])
    done = pytester.runpytest_subprocess(
        "--lem-backend=fake",
        "--lem-meter=none",
        "--lem-cycles=1",
        "--lem-windows=1",
        "--lem-warmup=off",
        "-p",
        "no:randomly",
    )
    done.assert_outcomes(passed=3)


def test_ci_runs_the_readme_s_own_commands():
    """Both commands of the README are found by what .ci/run looks for."""
    for environments in ("lint,types,py", "bench"):
        line = rf"^python3 -m venv .*/tox -e {environments}$"
        assert len(re.findall(line, README, re.MULTILINE)) == 1
        assert environments in (ROOT / ".ci" / "run").read_text()


def test_the_architecture_page_names_every_module_of_the_front_door_and_every_room():
    """A newcomer finds each room, and each module at the front door, on one page."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "pytest_lem"
    rooms = [f"`{path.parent.name}/`" for path in package.glob("*/__init__.py")]
    modules = [f"`{path.name}`" for path in package.glob("*.py")]
    missing = [n for n in [*rooms, *modules] if n not in page and "__init__" not in n]
    assert missing == []
    assert len(page.splitlines()) <= 80


def test_models_named_in_the_readme_exist():
    """Each synthetic model that the README names can be asked for."""
    named = re.findall(r"synthetic:([a-z0-9.-]+\w)", README)
    assert named
    assert set(named) <= set(synthetic_names())
