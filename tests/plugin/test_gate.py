"""`--lem-compare`: a test fails whose experiment is worse than its reference."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pytest_lem.records.export import read_json
from pytest_lem.store.opening import open_store
from pytest_lem.store.place import parse_place
from pytest_lem.store.wanted import Wanted

SOURCE = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size):
    lem()
"""
# A script that is none by its flags, as slow as this machine is today.
ENGINE = """
import os
from dataclasses import replace

from pytest_lem.engines.fake import FakeEngine

class Patient(FakeEngine):
    def load(self, spec):
        loaded = super().load(spec)
        slower = float(os.environ.get("SLOWER", 1))
        self._script = replace(self._script, token_s=self._script.token_s * slower)
        return replace(loaded, flags=[])
"""
HOOKS = """
def pytest_lem_register_engines(registry):
    from pytest_lem.engines.registry import EngineEntry
    registry.add(EngineEntry(name="patient", target="patient:Patient"))
"""
SPEED = "output_throughput_tps"
BACKEND = "--lem-backend=patient"


@pytest.fixture
def reference(project, extend, run):
    """Options that name three sessions, a hundredth apart."""
    project.makepyfile(patient=ENGINE)
    ini = project.path / "pytest.ini"
    ini.write_text(ini.read_text().replace("fake.", "patient."))
    extend(HOOKS)
    run(SOURCE, BACKEND, "--lem-json=r.json").assert_outcomes(passed=2)
    report = json.loads((project.path / "r.json").read_bytes())
    options = []
    for day, factor in enumerate((0.99, 1.0, 1.01), 1):
        other = json.loads(json.dumps(report))
        other["session"] |= {"id": f"day {day}"}
        other["session"] |= {"started_at": f"2026-01-0{day}T00:00:00.000+00:00"}
        for one in other["experiments"]:
            for cycle in one["cycles"]:
                cycle["metrics"][SPEED] *= factor
        path = project.path / f"day{day}.json"
        path.write_text(json.dumps(other))
        options.append(f"--lem-compare={path}")
    return options


def test_what_is_unchanged_passes_and_what_is_slower_fails(
    run, reference, report, project, monkeypatch
):
    """The verdict is in the report, in JUnit, and in the text of the failure."""
    limits = (f"--lem-compare-fail={SPEED}:10%", "--lem-json=r.json")
    done = run(None, BACKEND, *reference, *limits, "--junitxml=j.xml")
    done.assert_outcomes(passed=2)
    assert [one.gate["verdict"] for one in report().experiments] == ["pass"] * 2
    assert "gate" not in report().experiments[0].nulls
    monkeypatch.setenv("SLOWER", "3")
    done = run(None, BACKEND, *reference, *limits, "--junitxml=j.xml")
    done.assert_outcomes(failed=2)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(
        [
            f"regression: {SPEED} 1333 -> 444.4, -66.7 % (*), limit -10 %, 1 : 3 ses*",
            f"*{SPEED}*regression*",
        ]
    )
    one = report().experiments[0]
    assert one.gate["verdict"] == "regression"
    (rule,) = one.gate["rules"]
    assert (rule["metric"], rule["limit_pct"]) == (SPEED, 10.0)
    cases = ET.parse(project.path / "j.xml").findall(".//testcase")
    for case in cases:
        assert "regression" in case.find("failure").get("message")
        told = {p.get("name"): p.get("value") for p in case.iter("property")}
        assert told["lem_verdict"] == "regression"


def test_github_is_told_what_a_session_found(run, reference, project, monkeypatch):
    """A summary with verdicts and numbers, and the line of the test; not elsewhere."""
    options = (BACKEND, *reference, f"--lem-compare-fail={SPEED}:10%", "--lem-github")
    done = run(None, *options, "-k", "patient-1")
    done.stdout.no_fnmatch_line("::*")
    summary = project.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path.parent))
    monkeypatch.setenv("SLOWER", "3")
    least = f"--lem-set=min_{SPEED}=5000"
    done = run(None, *options, least, "-k", "patient-1", "--no-summary")
    where = f"file={project.path.name}/test_it.py,line=5,title=lem%3A regression"
    what = f"::regression: {SPEED} *%25*%0A{SPEED} 444.4, at least 5000 *: exceeded"
    done.stdout.fnmatch_lines([f"::error {where}*{what}"])
    told = summary.read_text()
    counts = "### lem: 1 regression, 1 exceeded"
    assert told.startswith(f"{counts}\n\n| experiment | metric |")
    assert "\n### lem: measured\n\n| experiment | tokens/s |" in told
    assert "\n- flag 1 few&#95;cycles: fewer than 5 cycles" in told


def test_what_cannot_be_judged_passes_or_fails_as_is_asked(run, reference, report):
    """There is no energy; another batch size was never in the reference."""
    other = SOURCE.replace("[1, 2]", "[1]").replace("def test_it", "def test_new")
    done = run(other, BACKEND, *reference, "--lem-json=r.json")
    done.assert_outcomes(passed=1)
    assert report().experiments[0].gate["verdict"] == "inconclusive"
    done = run(None, BACKEND, *reference, "--lem-inconclusive=fail")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        ["inconclusive: no energy_per_output_token_j in 2 of 2 cycles: *"]
    )
    unknown = other.replace("[1]", "[3]")
    done = run(unknown, BACKEND, *reference)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*incomparable: no reference has it"])


def test_what_is_wrong_with_the_gate_is_told_before_anything_runs(run, project):
    """A file that is none, or no report; a limit that is none, or of nothing."""
    done = run(SOURCE, "--lem-compare=gone.json")
    done.stderr.fnmatch_lines(["*--lem-compare=gone.json: is no file*"])
    done = run(SOURCE, f"--lem-compare-fail={SPEED}:5%")
    done.stderr.fnmatch_lines(["*--lem-compare-fail: say --lem-compare with it*"])
    (project.path / "other.json").write_text("{}")
    done = run(SOURCE, "--lem-compare=other.json")
    done.stderr.fnmatch_lines(["*--lem-compare=other.json: is no report of pytest-l*"])
    done = run(SOURCE, "--lem-compare=other.json", "--lem-compare-fail=speed:5%")
    done.stderr.fnmatch_lines(["*--lem-compare-fail: metric 'speed' is unknown*"])


@pytest.fixture
def stored(reference, project):
    """The three sessions under the label `main` of the project's store."""
    pytest.importorskip("sqlalchemy")
    store = open_store(parse_place(".lem/results.db", project.path), create=True)
    for option in reference:
        store.put(read_json(Path(option.partition("=")[2])))
    store.label([one.key for one in store.find(Wanted())], "main")
    store.close()


def test_a_session_joins_its_reference_where_nothing_in_it_is_worse(
    run, stored, monkeypatch
):
    """By its label; it says what it did."""
    asked = ("--lem-compare=main", f"--lem-compare-fail={SPEED}:10%")
    done = run(None, BACKEND, *asked, "--lem-update-ref")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(
        [
            "lem reference: main (label, 3 sessions of the store)",
            "reference 'main' renewed: it has 4 sessions now",
        ]
    )
    monkeypatch.setenv("SLOWER", "3")
    done = run(None, BACKEND, *asked, "--lem-update-ref")
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(
        ["reference 'main' not renewed: test_it.py::* is a regression"]
    )
    done = run(None, BACKEND, *asked, "--lem-save=main")
    done.stdout.fnmatch_lines(["not saved as 'main': test_it.py::* is a regression;*"])
    done = run(None, BACKEND, *asked, "--lem-save=main", "--lem-save-anyway")
    done.stdout.fnmatch_lines(["saved as 'main': it has 5 sessions now"])


def test_a_label_that_there_is_not_is_told_with_the_nearest(run, stored, errors_of):
    """In one line; so is a reference that cannot be renewed."""
    (line,) = errors_of(run(None, BACKEND, "--lem-compare=mian"))
    assert line.startswith("--lem-compare=mian: is no file, and in ")
    assert "label 'mian' is unknown; did you mean 'main'?" in line
    done = run(None, BACKEND, "--lem-compare=last", "--lem-update-ref")
    (line,) = errors_of(done)
    assert line.startswith("--lem-update-ref: --lem-compare names 0 labels of the ")


BUDGETS = """
import pytest

@pytest.mark.lem(max_energy_per_output_token_j=0.5)
def test_energy(lem):
    lem()

@pytest.mark.lem(min_output_throughput_tps=LEAST)
def test_speed(lem):
    lem()
"""


def test_what_exceeds_its_budget_fails_as_a_regression_does(
    run, reference, report, project
):
    """Without any reference; energy that is none is in no budget, and printed."""
    done = run(
        BUDGETS.replace("LEAST", "5000"),
        BACKEND,
        "--lem-json=r.json",
        "--junitxml=j.xml",
    )
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(
        [
            f"{SPEED} 1333, at least 5000 token/s: exceeded",
            "*test_energy* energy_per_output_token_j -, at most 0.5 J/token: inconcl*",
        ]
    )
    energy, speed = report().experiments
    assert (energy.gate["verdict"], speed.gate["verdict"]) == (
        "inconclusive",
        "exceeded",
    )
    (rule,) = speed.gate["rules"]
    assert (rule["budget"], rule["amount"]) == (f"min_{SPEED}", 5000)
    case = ET.parse(project.path / "j.xml").find(
        ".//testcase[@name='test_speed[patient]']"
    )
    assert case.find("failure").get("message").endswith(": exceeded")
    done = run(None, BACKEND, "--lf", "--lem-set=min_output_throughput_tps=10")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["*test_speed* at least 10 token/s: pass"])


def test_a_marker_has_limits_of_its_own(run, reference, report):
    """Below those of the command line, and above the default."""
    own = SOURCE.replace("mark.lem\n", f'mark.lem(compare_fail="{SPEED}:60%")\n')
    run(own, BACKEND, *reference, "--lem-json=r.json").assert_outcomes(passed=2)
    (rule,) = report().experiments[0].gate["rules"]
    assert (rule["metric"], rule["limit_pct"]) == (SPEED, 60.0)
    other = (f"--lem-compare-fail={SPEED}:30%", "--lem-json=r.json")
    run(None, BACKEND, *reference, *other).assert_outcomes(passed=2)
    (rule,) = report().experiments[0].gate["rules"]
    assert rule["limit_pct"] == 30.0


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("compare_fail='speed:5%'", "compare_fail: metric 'speed' is unknown*"),
        ("compare_fail=5", "compare_fail=5 is neither METRIC:N% nor a list of such"),
        ("max_edp_js=True", "max_edp_js=True is not a finite number above 0"),
        (
            f"max_{SPEED}=5",
            f"key 'max_{SPEED}' is unknown; did you mean 'min_{SPEED}'*",
        ),
    ],
)
def test_a_demand_that_is_none_is_told_at_collection(run, marker, said):
    """With the nearest that is one."""
    done = run(SOURCE.replace("mark.lem\n", f"mark.lem({marker})\n"))
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"*: {said}"])
