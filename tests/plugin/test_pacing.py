"""What runs when, and what is waited for between: from the front door."""

import pytest

from pytest_lem.front.profiles import PROFILES

FOUR = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4])
def test_it(lem, batch_size, note):
    note(batch_size)
    lem()
"""
SLOW = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size, note):
    note(batch_size)
    lem()
"""


def test_a_latin_square_runs_each_pass_and_its_mirror(run, notes, report):
    """Its seed may be made of what is measured, the same in the next session."""
    arguments = ("--lem-order=latin_square", "--lem-order-seed=plan")
    run(FOUR, *arguments, "--lem-json=r.json").assert_outcomes(passed=4)
    words = notes()
    assert sorted(words[:4]) == ["1", "2", "3", "4"]
    assert words[4:] == words[:4][::-1]
    plan = report().plan
    assert (plan.order, plan.seed_source) == ("latin_square", "plan")
    again = run(None, *arguments, "--lem-plan")
    again.stdout.fnmatch_lines([f"lem plan: *, seed {plan.seed}; nothing is run"])


def test_gaps_are_announced_kept_and_noted(run, report):
    """The header has them, the estimate counts them, each cycle says what it waited."""
    gaps = ("--lem-gap=0.02", "--lem-cycle-gap=0.05")
    result = run(SLOW, *gaps, "--lem-json=r.json")
    result.assert_outcomes(passed=2)
    told = "lem plan: 2 *, 4 cycles interleaved, gaps 0.02 s, between cycles 0.05 s, *"
    result.stdout.fnmatch_lines([told])
    plan = report().plan
    assert (plan.gap_s, plan.cycle_gap_s) == (0.02, 0.05)
    first, second = report().experiments
    assert [one.timing["gap_s"] for one in first.cycles] == [0.0, 0.05]
    assert [one.timing["gap_s"] for one in second.cycles] == [0.02, 0.02]
    long = run(None, "--lem-plan", "--lem-gap=3600", "--lem-cycle-gap=7200")
    long.stdout.fnmatch_lines(["estimated time: 4.0 h *"])


BREAK = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4])
def test_it(lem, batch_size, note, request):
    note(batch_size)
    if batch_size != FINE:
        request.getfixturevalue(WHAT)
    lem()
    assert WHAT
"""


@pytest.mark.parametrize(
    ("fine", "arguments", "ran"),
    [
        (0, ("--lem-max-failures=2",), ["1", "2"]),
        (2, ("--lem-max-failures=2",), ["1", "2", "3", "4"]),
        (0, ("--lem-max-failures=0",), ["1", "2", "3", "4"]),
        (0, ("--lem-profile=ci", "--lem-gap=0"), ["1", "2", "3"]),
    ],
    ids=["in a row", "not in a row", "never", "by profile"],
)
def test_failures_in_a_row_end_the_session(run, notes, fine, arguments, ran):
    """What is measured between two of them is no row; each broken test is one."""
    source = BREAK.replace("FINE", str(fine)).replace("WHAT", "'nothing'")
    result = run(source, "--lem-cycles=1", *arguments)
    assert notes() == ran
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    stopped = "*stopping after 2 failures in a row (--lem-max-failures)*"
    if "--lem-max-failures=2" in arguments:
        result.stdout.fnmatch_lines([stopped])


def test_assertions_break_nothing(run, notes):
    """A suite whose numbers are all bad is measured to its end."""
    source = SLOW.replace("    lem()", "    lem()\n    assert batch_size == 3")
    result = run(source, "--lem-cycles=1", "--lem-max-failures=1")
    result.assert_outcomes(failed=2)
    assert notes() == ["1", "2"]


def test_a_profile_is_below_whatever_anyone_says(run, report):
    """Its values stand in for defaults; the record names them as the profile's."""
    source = SLOW.replace("mark.lem\n", "mark.lem(max_seconds=3)\n")
    arguments = ("--lem-profile=campaign", "--lem-gap=0", "--lem-cycle-gap=0")
    result = run(source, *arguments, "--lem-json=r.json")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["lem plan: *latin_square, no gaps, *, profile campaign*"]
    )
    (one, _), session = report().experiments, report().session
    effort = one.spec["effort"]
    assert (effort["cycles"], effort["min_seconds"], effort["max_seconds"]) == (2, 5, 3)
    origins = {key: one.provenance[key] for key in effort}
    assert origins["cycles"] == origins["windows"] == origins["warmup"] == "ini"
    assert (origins["min_seconds"], origins["max_seconds"]) == ("profile", "marker")
    assert session.profile["name"] == "campaign"
    assert session.profile["values"] == {
        "order": "latin_square",
        "order-seed": "plan",
        "min-seconds": "5",
        "max-seconds": "60",
        "idle-seconds": "30",
        "thermal-floor": "60",
        "throttle": "rerun",
    }


def test_every_profile_says_only_what_can_be(run, errors_of):
    """Each is taken, from the configuration file too; others are refused by name."""
    for name in PROFILES:
        result = run(SLOW, "--lem-plan", "-o", f"lem_profile={name}")
        result.stdout.fnmatch_lines([f"lem plan: *, profile {name}; nothing is run"])
    wrong = run(None, "--lem-profile=cii")
    told = "--lem-profile='cii' is none of quick, ci, campaign"
    assert errors_of(wrong) == [told]


def test_ctrl_c_ends_a_gap(run, project, notes, report):
    """What was measured is in the report, and nothing more is begun."""
    source = SLOW.replace(
        "    lem()",
        "    if batch_size == 2:\n"
        "        stop = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "        threading.Timer(0.3, stop).start()\n"
        "    lem()",
    )
    source = "import os, signal, threading\n" + source.lstrip()
    with pytest.raises(KeyboardInterrupt):
        run(source, "--lem-gap=600", "--lem-json=r.json")
    assert notes() == ["1", "2"]
    told = [one.cycles for one in report().experiments]
    assert [[one.status for one in of] for of in told] == [
        ["complete"],
        ["interrupted"],
    ]
    assert report().session.status == "interrupted"


def test_what_is_loaded_otherwise_for_streaming_is_no_neighbour(run, extend):
    """Where an engine has to know before its load, both kinds are loaded once."""
    extend(
        "\ndef pytest_lem_register_engines(registry):\n"
        "    from pytest_lem.engines import Capabilities\n"
        "    from pytest_lem.engines.registry import EngineEntry\n"
        "    able = Capabilities(streaming='tokens', streams_apart=True)\n"
        "    target = 'pytest_lem.engines.fake:FakeEngine'\n"
        "    one = EngineEntry(name='apart', target=target, capabilities=able)\n"
        "    registry.add(one)\n"
    )
    source = FOUR.replace("mark.lem\n", "mark.lem(requests=8)\n")
    source = source.replace(
        '"batch_size", [1, 2, 3, 4]', '"batch_size,streaming", [(1, 1), (2, 0), (3, 1)]'
    ).replace("batch_size, note", "batch_size, streaming, note")
    result = run(source, "--lem-plan", "--lem-backend=apart", "--lem-cycles=1")
    shown = [
        line.rpartition("::")[2] for line in result.outlines if "  cycle 1" in line
    ]
    assert [name.split("-")[1] for name in shown] == ["1", "3", "2"]
