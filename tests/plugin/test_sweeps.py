"""`--lem-stop` and its hook, from the front door."""

import json

import pytest

SPEED = "output_throughput_tps"
SOURCE = """
import pytest

def speed(token_s):
    return pytest.mark.lem(fake={"token_s": token_s})

@pytest.mark.parametrize("place", [
    pytest.param(0, marks=speed(0.004)), pytest.param(1, marks=speed(0.002)),
    pytest.param(2, marks=speed(0.002)), pytest.param(3, marks=speed(0.005)),
    pytest.param(4, marks=speed(0.001)),
])
def test_one(lem, place):
    lem()

def test_other(lem):
    lem()
"""
LENGTHS = """
import pytest

@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("output_tokens", [2, 4, 8])
def test_it(lem, batch_size, output_tokens):
    lem()
"""


@pytest.mark.parametrize(
    "order", ["interleaved", pytest.param("grouped", marks=pytest.mark.slow)]
)
def test_a_flat_sweep_leaves_out_what_has_not_begun(run, report, order):
    """The others of the function are skipped with the reason; other tests run."""
    rule = f"--lem-stop=flat:{SPEED},last=2"
    result = run(SOURCE, rule, f"--lem-order={order}", "--lem-json=r.json", "-rs")
    result.assert_outcomes(passed=5, skipped=1)
    told = f"{SPEED} did not improve by 1 % in 2 in a row"
    result.stdout.fnmatch_lines([f"left out 1 experiment: {told}", f"SKIPPED*{told}"])
    found = report()
    (left_out,) = found.plan.skipped
    assert left_out == {"experiment_id": "test_it.py::test_one[fake-4]", "reason": told}
    assert [len(one.cycles) for one in found.experiments] == [2] * 5


def test_higher_values_of_what_is_dominated_are_left_out(run, report):
    """Along one parameter, all else equal; what comes before its lower ones is not."""
    rule = f"--lem-stop=dominated:{SPEED}+request_throughput_rps,along=output_tokens"
    options = (rule, "--lem-cycles=1", "--lem-json=r.json")
    run(LENGTHS, *options).assert_outcomes(passed=4, skipped=2)
    skipped = report().plan.skipped
    assert [one["experiment_id"][-8:] for one in skipped] == ["ake-8-1]", "ake-8-2]"]
    told = "output_tokens=4 is dominated by output_tokens=2"
    assert {one["reason"].partition(" (")[0] for one in skipped} == {told}
    backwards = LENGTHS.replace("[2, 4, 8]", "[8, 4, 2]")
    run(backwards, *options).assert_outcomes(passed=6)


def test_a_session_has_no_more_joules_than_it_was_given(run, report, errors_of):
    """Cycles to come of what has begun are counted in; without a meter it is none."""
    options = ("--lem-stop=energy:0.1", "--lem-json=r.json")
    run(SOURCE, "--lem-meter=fake:300", *options).assert_outcomes(passed=1, skipped=5)
    assert [len(one.cycles) for one in report().experiments] == [2]
    reasons = {one["reason"] for one in report().plan.skipped}
    assert reasons == {"the 0.1 J of --lem-stop are spent"}
    (line,) = errors_of(run(SOURCE, *options))
    assert line == "--lem-stop: no meter is at work to count joules"


def test_what_a_failed_cycle_spent_is_spent(run, project, report):
    """It is in the plan, and leaves the less for what has not begun."""
    source = """
        import pytest

        @pytest.mark.lem(
            windows=2, fake={"token_s": 0.1, "good_passes": 1, "fail_at": "generate"}
        )
        def test_broken(lem):
            lem()

        def test_other(lem):
            lem()
    """
    options = ("--lem-stop=energy:0.1", "--lem-meter=fake:300", "--lem-json=r.json")
    run(source, *options).assert_outcomes(failed=1, skipped=1)
    (cycle,) = report().experiments[0].cycles
    assert cycle.status == "failed"
    plan = json.loads((project.path / ".lem" / "plan.json").read_text())["plan"]
    window_j = cycle.windows[0].energy.gross_j
    assert plan["steps"][0]["energy_j"] == cycle.load["energy_j"] + window_j > 0.1


def test_a_plugin_may_leave_out_what_has_not_begun(run, extend, report):
    """It is told what was measured so far."""
    extend(
        "\ndef pytest_lem_should_stop(item, results):\n"
        "    if 'one' in item.name and len(results) > 2:\n"
        "        return f'{len(results)} are enough'\n"
    )
    options = ("--lem-cycles=1", "--lem-json=r.json")
    run(SOURCE, *options).assert_outcomes(passed=4, skipped=2)
    assert {one["reason"] for one in report().plan.skipped} == {"3 are enough"}


def test_a_campaign_has_rules_of_its_own(run, project, report, errors_of):
    """They count its own experiments, and are refused by file and text."""
    text = "stop: ['energy:0.1']\nbase_config: {}\nvary: {batch_size: [1, 2, 3]}\n"
    (project.path / "c.lem.yaml").write_text(text)
    options = ("--lem-meter=fake:300", "--lem-json=r.json")
    source = "def test_it(lem):\n    lem()\n"
    run(source, *options).assert_outcomes(passed=2, skipped=2)
    reasons = {one["reason"] for one in report().plan.skipped}
    assert reasons == {"the 0.1 J of c.lem.yaml are spent"}
    (project.path / "c.lem.yaml").write_text(text.replace("energy", "sloth"))
    (line,) = errors_of(run(None, *options))
    assert line.startswith("c.lem.yaml: stop='sloth:0.1' is no rule: write energy:")


@pytest.mark.slow
def test_a_session_that_is_gone_on_with_remembers_what_was_left_out(run, report):
    """The reason is in its plan, and in the report of both together."""
    rule = f"--lem-stop=flat:{SPEED},last=2"
    options = ("--lem-cycles=1", "--lem-json=r.json", rule)
    run(SOURCE + "    pytest.exit('now')\n", *options)
    before = report().plan.skipped
    run(SOURCE, *options, "--lem-resume")
    assert len(report().experiments) == 5
    assert report().plan.skipped == before != []
