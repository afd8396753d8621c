"""Records as a page sees them: what is told of experiments, and how it is marked."""

import pytest

from pytest_lem.report.html.overview import overview
from pytest_lem.report.html.view import alike, experiments, latest, told_apart
from tests.report.html.making import ENERGY, SPEED, experiment, source


def test_each_metric_has_its_mean_interval_and_values_of_cycles():
    """As the record's summary has them; what does not exist has no number."""
    (one,) = experiments([source(experiment(values=(1.0, 2.0, 3.0)))])
    number = one.numbers[ENERGY]
    assert number.value == 2.0
    assert number.low < 2.0 < number.high
    assert number.samples == (1.0, 2.0, 3.0)
    assert not one.has("ttft_p50_ms")


@pytest.mark.parametrize(
    ("flags", "energy", "speed"),
    [
        ([], "measured", "measured"),
        (["estimated_energy"], "estimated", "measured"),
        (["replayed_energy"], "replayed", "measured"),
        (["synthetic_energy"], "synthetic", "measured"),
        (["fake_engine", "estimated_energy"], "synthetic", "synthetic"),
    ],
)
def test_numbers_say_what_they_rest_on(flags, energy, speed):
    """An estimate is one of energy alone; a scripted engine has made up all of it."""
    (one,) = experiments([source(experiment(flags=flags))])
    assert (one.numbers[ENERGY].kind, one.numbers[SPEED].kind) == (energy, speed)


def test_sessions_come_as_they_began_and_an_experiment_of_two_files_once():
    """Reports may be given in any order, and one of them twice."""
    new, old = source(experiment(), session="new", day=2), source(experiment(), day=1)
    shown = experiments([new, old, new])
    assert [one.session for one in shown] == ["s", "new"]
    assert [one.session for one in latest(shown)] == ["new"]


def test_links_end_with_the_identity_and_its_number_where_several_have_it():
    """An identity that is no word for a link is hashed."""
    days = [source(experiment(identity="ab12"), day=day) for day in (1, 2)]
    odd = source(experiment("odd", identity='"><script>'), day=3)
    anchors = [one.anchor for one in experiments([*days, odd])]
    assert anchors[:2] == ["ab12-1", "ab12-2"]
    assert anchors[2].isalnum()


def test_experiments_asked_alike_but_for_a_parameter_are_together():
    """The others differ in something else, which is told."""
    made = [
        experiment(f"b{b}-{t}", batch_size=b, output_tokens=t)
        for b in (1, 4)
        for t in (8, 16)
    ]
    shown = experiments([source(*made)])
    together = alike(shown, ["batch_size"])
    assert [*told_apart(together).values()] == ["output_tokens=8", "output_tokens=16"]
    assert [[one.name for one in some] for some in together.values()] == [
        ["b1-8", "b4-8"],
        ["b1-16", "b4-16"],
    ]


def test_gates_leave_the_line_that_they_drew():
    """A limit is worse than the reference's mean by so much; a budget is what it is."""
    rules = [
        {"metric": ENERGY, "limit_pct": 5.0, "reference": [2.0, 2.0]},
        {"metric": SPEED, "limit_pct": 10.0, "reference": [10.0]},
        {"metric": ENERGY, "budget": f"max_{ENERGY}", "amount": 7.0},
        {"metric": "ttft_p50_ms", "limit_pct": 5.0, "reference": []},
    ]
    gate = {"verdict": "pass", "rules": rules}
    (one,) = experiments([source(experiment(gate=gate))])
    assert [(b.metric, pytest.approx(b.value), b.word) for b in one.bounds] == [
        (ENERGY, 2.1, "limit"),
        (SPEED, 9.0, "limit"),
        (ENERGY, 7.0, "budget"),
    ]


def test_the_top_says_what_ran_what_is_doubtful_and_why_there_is_no_energy():
    """Counts, the best numbers, verdicts from the worst, and flags in words."""
    bad = {"verdict": "regression", "rules": []}
    made = [
        experiment("a", values=(1.0, 1.2), flags=["few_cycles"]),
        experiment("b", values=(3.0, 3.3), gate=bad),
        experiment("c", metrics={SPEED: 5.0}),
    ]
    environment = {"gpu": [{"name": "H100"}, {"name": "H100"}], "cpu": {"model": "X"}}
    found = overview(experiments([source(*made, environment=environment)]))
    assert (found.experiments, found.cycles, found.sessions) == (3, 7, 1)
    assert found.machines[0].facts["GPU"] == "2 x H100"
    assert [(one.metric, one.name) for one in found.best] == [
        (ENERGY, "a"),
        (SPEED, "b"),
    ]
    assert [(one.word, one.names) for one in found.verdicts] == [("regression", ["b"])]
    told = {one.word: one.meaning for one in found.flags}
    assert told["few_cycles"] == "fewer than 5 cycles: intervals are wide"
    assert [one.names for one in found.no_energy] == [["c"]]
