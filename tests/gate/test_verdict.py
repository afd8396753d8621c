"""Verdicts on reports: what is judged, what is refused, and by what names."""

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.gate.limit import REFERENCE, Limit, check_allowed
from pytest_lem.gate.side import keys, sides
from pytest_lem.gate.verdict import gate, unmatched
from pytest_lem.spec.workload import Workload

ENERGY = "energy_per_output_token_j"
SPEED = "output_throughput_tps"
LIMITS = [Limit.parse(f"{ENERGY}:5%")]
NOW = 20


@pytest.fixture
def judge(make_report, reference):
    """The one finding on a run of these values against three sessions."""

    def judge(values, *, against=None, allowed=(), limits=LIMITS, **changed):
        run = make_report(values, day=NOW, **changed)
        old = reference() if against is None else against
        (found,) = gate([run], old, limits, allowed=allowed)
        return found

    return judge


def test_a_run_like_its_reference_passes(judge):
    """Within the limit; the spread of the reference is told level by level."""
    found = judge([1.0, 1.02])
    assert (found.verdict, found.improved, found.reasons) == ("pass", False, [])
    assert found.shift.rule == "prediction_interval"
    assert found.shift.sessions == (3, 1)
    assert found.spread.between_sessions == pytest.approx(0.0087, rel=0.02)


def test_a_run_that_costs_a_quarter_more_is_a_regression(judge):
    """Beyond the limit and beyond what three sessions lead to expect."""
    found = judge([1.25, 1.26])
    assert found.verdict == "regression"
    assert found.shift.ratio == pytest.approx(1.25, abs=0.01)
    assert 1 < found.shift.low < found.shift.ratio
    assert found.to_json()["verdict"] == "regression"


def test_a_run_that_costs_a_quarter_less_passes_as_improved(judge):
    """Which is told."""
    found = judge([0.75, 0.74])
    assert (found.verdict, found.improved) == ("pass", True)


def test_more_is_better_where_the_metric_says_so(judge, reference):
    """Fewer tokens a second are a regression, more are none."""
    old = reference(metric=SPEED)
    limits = [Limit.parse(f"{SPEED}:5%")]
    slow = judge([0.75, 0.75], against=old, limits=limits, metric=SPEED)
    fast = judge([1.25, 1.25], against=old, limits=limits, metric=SPEED)
    assert (slow.verdict, fast.verdict) == ("regression", "pass")
    assert fast.improved


def test_a_worse_perplexity_of_the_same_text_is_a_regression(judge, reference):
    """It varies by nothing from session to session; another text has another."""
    limits = [Limit.parse("perplexity:2%")]

    def quality(digest):
        told = {"value": 9.0, "tokens": 99, "sha256": digest, "duration_s": 1.0}
        return {"perplexity": {**told, "window_tokens": 512, "stride_tokens": 256}}

    def judged(value, digest="a"):
        more = {"metric": "perplexity", "quality": quality(digest)}
        return judge([value] * 2, against=old, limits=limits, **more)

    old = reference(metric="perplexity", quality=quality("a"))
    assert judged(1.01).verdict == "pass"
    assert judged(1.2).verdict == "regression"
    other = judged(1.2, "b")
    assert other.verdict == "incomparable"
    assert other.reasons[0].startswith("text ('a', 512, 256)")


def test_what_is_beyond_the_limit_and_may_be_noise_is_inconclusive(judge, make_report):
    """A reference that varies by a tenth."""
    old = [make_report([v, v], day=k + 1) for k, v in enumerate([0.9, 1.0, 1.1])]
    found = judge([1.2, 1.2], against=old)
    assert found.verdict == "inconclusive"
    assert found.answer.p > 0.01


def test_two_sessions_are_never_enough_nor_is_one_given_thrice(judge, reference):
    """Whatever the run costs; the same session counts once."""
    for against in (reference()[:2], [reference()[0]] * 3):
        for cost in (0.5, 1.0, 2.0):
            found = judge([cost, cost], against=against)
            assert found.verdict == "inconclusive"
            assert found.reasons[0].endswith("in the reference, 3 are needed")


def test_a_run_is_no_reference_of_its_own(judge, make_report, reference):
    """Its file may lie among the others."""
    found = judge([2.0, 2.0], against=[*reference()[:2], make_report([2, 2], day=NOW)])
    assert found.verdict == "inconclusive"
    assert found.left_out == {f"session {NOW}": "it is the run itself"}


def test_sessions_in_turn_are_compared_by_their_own_spread(make_report):
    """A B B A A B: what drifts hits both sides; in two blocks it does not count so."""
    old = [make_report([v], day=d) for d, v in ((1, 1.0), (4, 1.2), (5, 1.3))]
    new = [make_report([1.1 * v], day=d) for d, v in ((2, 1.05), (3, 1.1), (6, 1.35))]
    (found,) = gate(new, old, LIMITS)
    assert found.shift.rule == "interleaved"
    later = [make_report([1.0], day=d) for d in (7, 8, 9)]
    (found,) = gate(later, old, LIMITS)
    assert found.shift.rule == "prediction_interval"


def test_noise_of_this_machine_stands_in_for_sessions(make_report, reference):
    """Three quiet sessions; not those of another machine, nor two."""
    quiet = reference()
    old, run = make_report([1.0, 1.0], day=8), make_report([1.3, 1.3], day=NOW)
    (found,) = gate([run], [old], LIMITS, quiet=quiet)
    assert (found.verdict, found.shift.rule) == ("regression", "stored_noise")
    for strange in (quiet[:2], reference(gpu={"name": "L4"})):
        (found,) = gate([run], [old], LIMITS, quiet=strange)
        assert found.verdict == "inconclusive"


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"gpu": {"name": "L4"}}, "gpu ['H100'] and ['L4']"),
        ({"gpu": {"name": "H100", "driver_version": "590.1"}}, "driver ['580.1'] and"),
        ({"engine": {"name": "vllm", "version": "0.31.0"}}, "engine 'vllm 0.30.0' and"),
        ({"model": {"revision": "def"}}, "resolved_revision 'abc' and 'def'"),
        ({"effective": {"precision": "float32"}}, "precision 'float16' and 'float32'"),
        ({"prompts": {"recipe_sha256": "q"}}, "recipe_sha256 'r' and 'q'"),
        ({"workload": Workload(output_tokens=7)}, "workload.output_tokens 128 and 7"),
        ({"flags": ["cold_start"]}, "cold_start False and True"),
    ],
)
def test_what_ran_otherwise_is_incomparable_by_name(judge, changed, key):
    """Never a pass, and never a regression."""
    for cost in (1.0, 2.0):
        found = judge([cost, cost], identity="other", **changed)
        assert found.verdict == "incomparable"
        assert any(reason.startswith(key) for reason in found.reasons)


def test_keys_that_are_allowed_may_differ(judge):
    """Each by its name."""
    newer = {"engine": {"name": "vllm", "version": "0.31.0"}}
    assert judge([1.0, 1.0], allowed=["engine"], **newer).verdict == "pass"
    assert judge([1.0, 1.0], allowed=["driver"], **newer).verdict == "incomparable"


def test_sessions_of_an_older_driver_are_left_out_by_name(judge, reference):
    """Those that may be compared have to be enough."""
    older = reference(gpu={"name": "H100", "driver_version": "1"})[0]
    found = judge([1.0, 1.0], against=[older, *reference()[1:]])
    assert found.verdict == "inconclusive"
    assert found.left_out["session 1"].startswith("driver ")


def test_the_meter_matters_to_energy_alone(make_report):
    """Time is time, whatever read the joules."""
    (side,) = sides(make_report([1.0]))
    assert "energy" in keys(side, ENERGY)
    assert "energy" not in keys(side, SPEED)
    assert "latency" in keys(side, "ttft_p50_ms")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"flags": ["estimated_energy"]}, "estimated_energy"),
        ({"flags": ["replayed_energy"]}, "replayed_energy"),
        ({"flags": ["fake_engine"]}, "fake_engine"),
        ({"flags": ["migrated"]}, "migrated"),
        ({"flags": ["throttled_thermal"]}, "throttled_thermal"),
        ({"flags": ["warmup_not_converged"]}, "warmup_not_converged"),
        ({"flags": ["foreign_process"]}, "foreign_process"),
        ({"flags": ["partial"]}, "partial"),
        ({"flags": ["mixed_backends"]}, "mixed_backends"),
        ({"flags": ["processes_apart"]}, "processes_apart"),
        ({"failed": 1}, "1 of 3 cycles failed"),
    ],
)
def test_what_cannot_be_believed_is_not_judged(judge, changed, reason):
    """Neither as a pass nor as a regression."""
    for cost in (1.0, 2.0):
        found = judge([cost, cost], **changed)
        assert (found.verdict, found.reasons) == ("inconclusive", [reason])


def test_time_may_be_judged_where_energy_is_estimated(judge, reference):
    """The flag speaks of joules."""
    old = reference(metric=SPEED, flags=["estimated_energy"])
    limits = [Limit.parse(f"{SPEED}:5%")]
    changed = {"metric": SPEED, "flags": ["estimated_energy"]}
    assert judge([1.0, 1.0], against=old, limits=limits, **changed).verdict == "pass"


def test_a_metric_that_is_not_there_is_not_judged(judge):
    """With the reason of the record."""
    found = judge([None, None], nulls={ENERGY: "no_meter"})
    assert found.verdict == "inconclusive"
    assert found.reasons == [f"no {ENERGY} in 2 of 2 cycles: no_meter"]


def test_fewer_cycles_than_the_reference_are_not_judged(judge):
    """One cycle varies more than a mean of two."""
    found = judge([2.0])
    assert found.verdict == "inconclusive"
    assert found.reasons == ["1 cycles, and 2 in the reference: run as many"]


def test_an_experiment_is_known_by_its_identity_where_it_was_renamed(judge):
    """And is refused where neither is there."""
    assert judge([1.0, 1.0], name="t.py::renamed").verdict == "pass"
    found = judge([1.0, 1.0], name="t.py::new", identity="new")
    assert (found.verdict, found.reasons) == ("incomparable", ["no reference has it"])


def test_what_only_the_reference_has_is_told(make_report, reference):
    """A test that vanished is no test that passed."""
    gone = make_report([1.0], name="t.py::gone", identity="gone")
    run = [make_report([1.0], day=NOW)]
    assert unmatched(run, [*reference(), gone]) == ["t.py::gone"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("energy_per_token_j:5%", "did you mean 'energy_per_"),
        ("energy_per_output_token_j:5", "is not METRIC:N%"),
        ("energy_per_output_token_j", "is not METRIC:N%"),
        ("energy_per_output_token_j:-5%", "is not METRIC:N%"),
        ("energy_per_output_token_j:nan%", "is not METRIC:N%"),
        ("idle_power_w:5%", "neither better high nor low"),
    ],
)
def test_a_limit_that_is_none_says_what_would_be(text, problem):
    """In one line."""
    with pytest.raises(ConfigError, match=problem):
        Limit.parse(text)


def test_a_missing_reference_may_be_allowed(judge):
    """The new experiment is not judged; what differs in fact still is refused."""
    found = judge([1.0, 1.0], name="t.py::new", identity="new", allowed=[REFERENCE])
    assert (found.verdict, found.reasons) == ("inconclusive", ["no reference has it"])
    changed = {"engine": {"name": "vllm", "version": "9"}}
    assert judge([1.0, 1.0], allowed=[REFERENCE], **changed).verdict == "incomparable"


def test_a_key_that_may_differ_and_is_none_is_refused(make_report):
    """With the nearest; whatever a refusal names is one."""
    with pytest.raises(ConfigError, match=r"key 'drivers' .* did you mean 'driver'"):
        check_allowed(["drivers"])
    (side,) = sides(make_report([1.0]))
    check_allowed([*keys(side, ENERGY), *keys(side, "ttft_p50_ms"), REFERENCE])


def test_the_rule_may_be_asked_for(make_report, reference):
    """In turn, sessions run one after another tell nothing; by prediction all do."""
    old = reference()
    late = [make_report([1.3, 1.31], day=day) for day in (20, 21, 22)]
    turns = [make_report([1.3, 1.31], day=day) for day in (1, 2, 3)]
    for one in turns:
        object.__setattr__(one.session, "id", f"turn {one.session.started_at}")

    def rule(runs, rule):
        (found,) = gate(runs, old, LIMITS, rule=rule)
        return found.verdict, found.shift and found.shift.rule

    assert rule(late, "interleaved") == ("inconclusive", None)
    assert rule(turns, "interleaved") == ("regression", "interleaved")
    assert rule(turns, "prediction")[1] == "prediction_interval"


def test_a_run_in_which_every_cycle_failed_is_inconclusive(judge):
    """It is told by that, and not as another engine."""
    found = judge([], failed=2)
    assert found.verdict == "inconclusive"
    assert found.reasons == ["2 of 2 cycles failed", "no complete cycle"]
