"""`--lem-cycles=auto`: cycles go on until the headline metric is precise enough."""

import json

SOURCE = """
import pytest

CYCLES = []

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size):
    result = lem()
    CYCLES.append(batch_size)
    assert batch_size == 1 or len(result.cycles) < 5

def test_all_have_run():
    assert sorted(CYCLES) == [1] * 5 + [2] * 5
"""
OPTIONS = ("--lem-cycles=auto", "--lem-meter=fake:100", "--lem-set=fake.token_s=0.02")


def test_cycles_end_when_they_are_precise_enough(run, pytester):
    """A script is after five; the last judges, and each test is reported once."""
    result = run(SOURCE, *OPTIONS, "--lem-precision=90%", "--lem-json=r.json")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "lem plan: 2 experiments, at most 40 cycles *",
            "precision of test_it[[]fake-1]: ±* % of energy_per_* in 5 cycles, ±90 % *",
        ]
    )
    report = json.loads((pytester.path / "r.json").read_bytes())
    for one in report["experiments"]:
        assert [cycle["index"] for cycle in one["cycles"]] == list(range(5))
        assert one["stopping"]["reached"]
        assert one["summary"]["output_throughput_tps"]["ci_method"] == "repeated"


def test_what_cannot_be_asked_together_is_refused_in_one_line(run):
    """A precision of a fixed number; another interval; the type of weights."""
    done = run(SOURCE, "--lem-precision=1%")
    done.stderr.fnmatch_lines(["*--lem-precision: say --lem-cycles=auto with it*"])
    done = run(SOURCE, *OPTIONS, "--lem-ci=bca")
    done.stderr.fnmatch_lines(["*--lem-ci=bca: cycles that end by their interval *"])
    done = run(SOURCE, *OPTIONS, "--lem-precision=bfloat16")
    done.stderr.fnmatch_lines(["*--lem-precision='bfloat16' is no number of percent *"])
