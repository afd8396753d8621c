"""`--lem-search`: trials, the rate found, and what cannot be searched."""

import csv

import pytest

SOURCE = """
import pytest

@pytest.mark.lem(
    requests=40, batch_size=2, arrivals={"mode": "constant", "rate_rps": 300},
    slo={"e2e_ms": LIMIT},
)
def test_it(lem):
    result = lem()
    assert result.search["rate_rps"] < result.search["failed_rps"]
"""
# Two places, each for 10 ms: no more than 200 requests in a second.
SLOW = ("--lem-set=fake.prefill_s=0.007", "--lem-set=fake.token_s=0.001")
SEARCH = "--lem-search=max-goodput:width=0.5"


def test_the_highest_rate_is_found_and_the_cycles_run_at_it(run, report, project):
    """Each trial is on record, and in no number of the experiment."""
    source = SOURCE.replace("LIMIT", "1000")
    reports = ("--lem-json=r.json", "--lem-csv=r.csv", "--lem-save=found")
    shown = run(source, SEARCH, *SLOW, *reports)
    shown.assert_outcomes(passed=1)
    (experiment,) = report().experiments
    trials = [one for one in experiment.cycles if one.status == "trial"]
    cycles = [one for one in experiment.cycles if one.status == "complete"]
    found = experiment.search
    assert [one.trial["number"] for one in trials] == list(range(found["trials"]))
    assert trials[0].trial["rate_rps"] == 300
    assert trials[0].trial["verdict"] == "failed"
    rates = {one.trial["rate_rps"]: one.trial["verdict"] for one in trials}
    assert rates[found["rate_rps"]] == "passed"
    assert found["rate_rps"] < 220
    assert found["stopped"] == "width"
    offered = [one.windows[0].arrivals["offered_rps"] for one in cycles]
    assert offered == [pytest.approx(found["rate_rps"])] * 2
    assert experiment.excluded == []
    assert experiment.summary["goodput_rps"].n == 2
    digests = [one.windows[0].token_sha256 for one in experiment.cycles]
    assert len(set(digests)) == len(digests)
    row = next(csv.DictReader((project.path / "r.csv").open()))
    assert float(row["search_rate_rps"]) == found["rate_rps"]
    shown.stdout.fnmatch_lines(["*lem search: max-goodput:*", "Highest rate*"])
    shown.stdout.no_fnmatch_line("not saved*")


def test_a_test_fails_where_no_rate_passes(run, report):
    """The trials are on record all the same."""
    source = SOURCE.replace("LIMIT", "1")
    reports = ("--lem-json=r.json", "--lem-save=found")
    shown = run(source, f"{SEARCH},trials=2", *SLOW, *reports)
    shown.assert_outcomes(failed=1)
    shown.stdout.fnmatch_lines(["not saved as 'found': *no cycle that counts*"])
    shown.stdout.fnmatch_lines(["*SearchError: no rate was found*from 150*"])
    (experiment,) = report().experiments
    assert [one.status for one in experiment.cycles] == ["trial"] * 2
    assert experiment.search["rate_rps"] is None
    assert experiment.search["nulls"]["rate_rps"] == "nothing_passed"
    assert "nothing_passed" in experiment.search["doubts"]
    assert experiment.synthetic


def test_a_trial_that_breaks_ends_the_search_and_is_excluded(run, report):
    """What was known before it stands."""
    source = SOURCE.replace("LIMIT", "1000").replace("300", "100")
    broken = ("--lem-set=fake.fail_at=generate", "--lem-set=fake.good_passes=1")
    run(source, SEARCH, *SLOW, *broken, "--lem-json=r.json").assert_outcomes(failed=1)
    (experiment,) = report().experiments
    assert [one.status for one in experiment.cycles] == ["trial", "failed"]
    assert experiment.excluded == [{"cycle": 0, "cause": "generation"}]
    assert (experiment.search["start_rps"], experiment.search["trials"]) == (100, 2)
    assert experiment.search["stopped"] is None


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('slo={"e2e_ms": LIMIT},', "", "needs slo"),
        ('arrivals={"mode": "constant", "rate_rps": 300},', "", "needs arrivals"),
        ("300}", '300, "end_rate_rps": 9}', "arrivals of one rate"),
        ("requests=40", "requests=10", "requests=10 cannot show a share of 0.9"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(run, old, new, why):
    """In one line for each thing."""
    source = SOURCE.replace(old, new).replace("LIMIT", "9")
    result = run(source, SEARCH, "--collect-only")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *--lem-search: *{why}*"])


def test_a_test_that_measures_nothing_needs_no_limits(run):
    """It takes the engine, and no search."""
    source = "def test_it(engine):\n    assert engine.generate([[1]], output_tokens=2)"
    run(source, SEARCH).assert_outcomes(passed=1)


def test_the_plan_says_that_a_search_comes_first(run):
    """It runs nothing."""
    result = run(SOURCE.replace("LIMIT", "9"), SEARCH, "--lem-plan")
    result.stdout.fnmatch_lines(["lem plan: *nothing is run", "*", "lem search: *"])
