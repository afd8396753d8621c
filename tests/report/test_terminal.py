"""The lines that people read: computed here, printed elsewhere."""

import re
from pathlib import Path

import pytest

from benchmarks.perf import blank
from pytest_lem.records.assemble import experiment_record
from pytest_lem.records.record import Cycle
from pytest_lem.records.result import Result
from pytest_lem.report.summary import CAPTION, FLAGS, summary
from pytest_lem.report.table import LEAST_WIDTH, table, visible
from pytest_lem.report.terminal import (
    Outline,
    duration,
    header,
    headline,
    plan_lines,
    properties,
)
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.workload import Workload

ENERGY = "energy_per_output_token_j"
NET = "energy_per_output_token_net_j"
SPEED = "output_throughput_tps"


def rows(found):
    """The rows of the table of a whole record."""
    return summary(found).rows()


def cycle(index=0, flags=(), status="complete", nulls=None, **metrics):
    return Cycle(
        index=index,
        status=status,
        error=None,
        started_at="",
        ended_at="",
        worker={},
        engine={},
        effective={},
        model={},
        load={},
        warmup=None,
        idle=None,
        native={},
        windows=[],
        metrics=metrics,
        timing={},
        prompts={},
        flags=list(flags),
        nulls=nulls or {},
    )


def record(**experiments):
    return report([(f"t.py::{name}", cycles) for name, cycles in experiments.items()])


def report(pairs):
    found = [
        experiment_record(
            Experiment(
                id=name,
                spec=EngineSpec(backend="fake"),
                workload=Workload(),
                effort=Effort(),
            ),
            "f00",
            cycles,
        )
        for name, cycles in pairs
    ]
    return blank.record(found)


def outline(**changed):
    values = {
        "version": "1.2.3",
        "backends": ["fake 1", "transformers 5.0"],
        "meter": "nvml",
        "gpus": ["NVIDIA X", "NVIDIA Y"],
        "experiments": 2,
        "steps": 6,
        "estimate_s": 75.0,
        "order": "interleaved",
        "seed": 42,
        "reports": ["out.json"],
    }
    return Outline(**{**values, **changed})


def test_the_header_says_what_will_happen():
    """Engines, meter, GPUs, plan and where reports go."""
    assert header(outline()) == [
        "lem 1.2.3: fake 1, transformers 5.0; meter nvml; GPUs: NVIDIA X, NVIDIA Y",
        ("lem plan: 2 experiments, 6 cycles interleaved, no gaps, seed 42, about 75 s"),
        "lem reports: out.json",
    ]


def test_the_header_says_that_there_is_no_gpu_and_no_report():
    """None is a word, and nothing to say is no line."""
    lines = header(outline(gpus=[], reports=[]))
    assert len(lines) == 2
    assert lines[0].endswith("GPUs: none")


def test_the_plan_lists_the_cycles_in_the_order_they_run():
    """Counted from one, as people do, with time and energy estimated honestly."""
    lines = plan_lines(outline(), [("a.py::x", 0), ("b.py::y", 0), ("a.py::x", 1)])
    assert lines[0].endswith("interleaved, no gaps, seed 42; nothing is run")
    assert lines[1] == "estimated time: 75 s (a guess from settings)"
    assert lines[2].startswith("estimated energy: unknown")
    assert lines[3:] == [
        "     1  cycle 1  a.py::x",
        "     2  cycle 1  b.py::y",
        "     3  cycle 2  a.py::x",
    ]


@pytest.mark.parametrize(("count", "rest"), [(40, None), (41, 1), (1000, 960)])
def test_a_long_plan_is_cut_and_says_so(count, rest):
    """Forty lines, and how many more there are."""
    lines = plan_lines(outline(), [("a", k) for k in range(count)])
    assert len(lines) == 43 + (rest is not None)
    assert (lines[-1] == f"  ... and {rest} more") is (rest is not None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
        (9e4, "25.0 h"),
    ],
)
def test_a_duration_is_said_as_people_say_it(seconds, text):
    """Seconds, minutes, hours."""
    assert duration(seconds) == text


def test_the_headline_is_the_energy_with_its_interval():
    """One number, its unit, half the interval in percent, and the cycles."""
    result = Result([cycle(k, **{ENERGY: 0.4 + 0.001 * k}) for k in range(3)])
    assert headline(result) == "0.401 J/token ±0.6 %, 3 cycles"


def test_the_headline_of_one_cycle_has_no_interval():
    """And one cycle is no cycles."""
    assert headline(Result([cycle(**{ENERGY: 0.5})])) == "0.5 J/token, 1 cycle"


@pytest.mark.parametrize(
    "flag", ["estimated_energy", "replayed_energy", "synthetic_energy"]
)
def test_a_guessed_energy_carries_a_tilde(flag):
    """Wherever it stands; a speed is never guessed."""
    cycles = [
        cycle(flags=[flag], **{ENERGY: 0.5, NET: 0.4, SPEED: 9, "avg_power_w": 7})
    ]
    assert headline(Result(cycles)).startswith("~0.5 J/token")
    (row,) = rows(record(a=cycles))
    guessed = (row["J/token"], row["net J/token"], row["W"])
    assert guessed == ("~0.5", "~0.4", "~7")
    assert row["tokens/s"] == "9"


def test_measured_energy_carries_none():
    """The mark would mean nothing if all had it."""
    (row,) = rows(record(a=[cycle(**{ENERGY: 0.5, NET: 0.4, "avg_power_w": 7})]))
    assert "~" not in "".join(row.values())


def test_without_energy_the_headline_is_the_speed():
    """A laptop without a meter has something to show."""
    result = Result([cycle(**{SPEED: 123.4}, flags=["estimated_energy"])])
    assert headline(result) == "123.4 token/s, 1 cycle"
    assert headline(Result([])) == "nothing measured"


def test_properties_are_the_metrics_that_exist_and_the_flags():
    """No row for null."""
    result = Result([cycle(flags=["b", "a"], **{ENERGY: 0.5, SPEED: None})])
    assert properties(result) == [(f"lem_{ENERGY}", 0.5), ("lem_flags", "a b")]


def test_a_row_has_the_headline_numbers_with_their_intervals():
    """Energy, speed, first token, power, cycles and flags."""
    metrics = {SPEED: 100.0, "ttft_p50_ms": 12.345, "avg_power_w": 321.98}
    cycles = [cycle(k, **{ENERGY: 1.0 + k}, **metrics) for k in range(2)]
    failed = cycle(2, status="failed", **{ENERGY: 77.0})
    (row,) = rows(record(a=[*cycles, failed]))
    assert row == {
        "experiment": "a",
        "J/token": "1.5 ±424 %",
        "net J/token": "-",
        "tokens/s": "100 ±0.0 %",
        "TTFT ms": "12.35",
        "W": "322",
        "n": "2",
        "flags": "1 2",
    }


def test_names_are_short_where_no_two_are_alike():
    """The file is told only where the test's name alone could mean two."""
    one = [cycle(**{SPEED: 1.0})]
    alike = report([("a.py::t", one), ("b.py::t", one), ("b.py::u", one)])
    names = [row["experiment"] for row in rows(alike)]
    assert names == ["a.py::t", "b.py::t", "u"]
    (row,) = rows(report([("campaign", one)]))
    assert row["experiment"] == "campaign"


def test_a_null_is_a_dash_and_never_a_zero():
    """Where a column has some value; where it has none it is left out."""
    found = rows(record(a=[cycle(**{ENERGY: 0.5})], b=[cycle()]))
    assert [row["J/token"] for row in found] == ["0.5", "-"]
    lines = table(found, 120)
    assert lines[1].split() == ["experiment", "J/token", "n", "flags"]


def test_zero_is_a_value():
    """A GPU that drew nothing shows 0."""
    (row,) = rows(record(a=[cycle(0, **{ENERGY: 0.0}), cycle(1, **{ENERGY: 0.0})]))
    assert row["J/token"] == "0"


def test_long_names_are_folded_and_numbers_never_cut():
    """Everything can be read, whatever the width of the terminal."""
    name = "benchmarks/perf/perf_decode.py::test_decode" + "[a-very-long-id]" * 12
    numbers = {ENERGY: 0.123456, NET: 0.111111, SPEED: 98765.4, "ttft_p50_ms": 1234.5}
    flags = ["fake_engine"]
    cycles = [cycle(k, flags, **numbers, avg_power_w=654.3) for k in range(3)]
    lines = table(rows(report([(name, cycles)])), 80)
    text = "\n".join(lines)
    for number in ("0.1235 ±0.0 %", "0.1111", "98770", "1234", "654.3"):
        assert number in text
    assert lines[1].endswith("W   n   flags")
    first = re.compile(r"\s{2,}")
    parts = [first.split(line.strip())[0] for line in lines[3:]]
    assert "".join(parts) == name.partition("::")[2]
    assert re.search(r" 654\.3   3\s+1 2$", lines[3])
    assert max(map(len, lines)) <= LEAST_WIDTH


def test_the_table_is_as_wide_as_the_terminal():
    """A wide one folds no name."""
    name = "t.py::test[" + "x" * 90 + "]"
    lines = table(rows(report([(name, [cycle(**{ENERGY: 1.0})])])), 200)
    assert any(name.partition("::")[2] in line for line in lines)


def test_flags_are_numbered_and_explained():
    """A legend for those that occur, and only for those."""
    found = record(
        a=[cycle(flags=["unstable", "fake_engine"], **{ENERGY: 1.0})],
        b=[cycle(flags=["of_a_plugin"], **{ENERGY: 1.0})],
    )
    assert summary(found).numbered_flags() == {
        "fake_engine": 1,
        "few_cycles": 2,
        "of_a_plugin": 3,
        "unstable": 4,
    }
    lines = summary(found).lines(100, [])
    assert [row["flags"] for row in rows(found)] == ["1 2 4", "2 3"]
    assert [line for line in lines if line.startswith("flag ")] == [
        f"flag 1 fake_engine: {FLAGS['fake_engine']}",
        f"flag 2 few_cycles: {FLAGS['few_cycles']}",
        "flag 3 of_a_plugin: see the record",
        f"flag 4 unstable: {FLAGS['unstable']}",
    ]


def test_the_summary_has_caption_table_reasons_and_reports():
    """Why there is no energy is said once, whoever asks."""
    nulls = {ENERGY: "no_meter: nvml: no NVIDIA driver"}
    found = record(
        a=[cycle(**{SPEED: 1.0}, nulls=nulls)], b=[cycle(**{SPEED: 2.0}, nulls=nulls)]
    )
    lines = summary(found).lines(100, [Path("/out/a.json"), Path("/out/a.csv")])
    assert lines[0] == CAPTION
    reasons = [line for line in lines if line.startswith("no energy")]
    assert reasons == ["no energy: no_meter: nvml: no NVIDIA driver"]
    assert lines[-2:] == ["report: /out/a.json", "report: /out/a.csv"]


HOSTILE = {
    "markup": "[red]t[/red]",
    "link": "[link=http://x]t[/link]",
    "closing": "t[/]",
    "emoji": ":smile:",
    "escape": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;title\x07",
    "return": "a\rb",
    "line end": "a\nb",
    "backspace": "a\x08b",
    "null": "a\0b",
    "c1": "a\x9b31mb",
    "right to left": "a\u202eb",
    "surrogate": "a\udcffb",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name_is_shown_as_text(name):
    """Neither markup nor control characters of a name act on the terminal."""
    shown = visible(name)
    found = report([("x", [cycle(flags=[name], **{ENERGY: 1.0}, nulls={NET: name})])])
    experiments = [found.experiments[0].model_copy(update={"id": name})]
    found = found.model_copy(update={"experiments": experiments})
    lines = [
        *summary(found).lines(120, [Path(name.replace("\0", "\x01"))]),
        *plan_lines(outline(), [(name, 0)]),
        headline(Result(found.experiments[0].cycles)),
    ]
    text = "\n".join(lines)
    assert "".join(c for c in text if not c.isprintable() and c != "\n") == ""
    assert any(line.startswith(f" {shown}  ") for line in lines)
    assert f"     1  cycle 1  {shown}" in lines
    assert f"flag 2 {shown}: see the record" in lines or f"flag 1 {shown}" in text


def test_ordinary_text_is_left_alone():
    """Letters of any language print."""
    text = "t.py::test[Grüße-日本-é-½ x]"
    assert visible(text) == text


def test_every_flag_is_explained_in_one_line():
    """Short enough for a legend."""
    assert all(0 < len(text) < 80 and text.isprintable() for text in FLAGS.values())
