"""Whatever is missing, there is a valid report, a CSV row and a summary table."""

import csv
import json
from contextlib import suppress
from itertools import combinations, product

import jsonschema
import pytest

from benchmarks.perf.blank import record
from pytest_lem.analysis.metrics import METRICS
from pytest_lem.errors import ConfigError
from pytest_lem.gate.verdict import Limit, gate
from pytest_lem.meters import Device, Telemetry
from pytest_lem.meters.fake import FakeMeter
from pytest_lem.records.assemble import experiment_record, found_in
from pytest_lem.records.export import (
    columns,
    read_json,
    write_csv,
    write_cycles,
    write_json,
)
from pytest_lem.records.record import Cycle
from pytest_lem.records.result import Result
from pytest_lem.records.schema import schema
from pytest_lem.report import compare as comparing
from pytest_lem.report import github
from pytest_lem.report.diff import diff
from pytest_lem.report.diff import lines as differing
from pytest_lem.report.services.exporting import exported
from pytest_lem.report.summary import summary
from pytest_lem.report.terminal import headline

DEVICE = "cpu"


class Scripted(FakeMeter):
    """Tells energy of the device in use or of another, and telemetry or none.

    The engine of these tests runs on the CPU, so that is what the telemetry of a GPU
    is told of here.
    """

    basis = "measured"

    def __init__(self, *, energy, telemetry):
        super().__init__(50.0)
        self._scope = "cpu" if energy else "gpu"
        self._telemetry = telemetry

    def devices(self):
        return [Device(id="fake:0", scope=self._scope, name="X", refresh_s=0.0)]

    def poll(self):
        readings, _, _ = super().poll()
        now_s = self._clock_s()
        told = Telemetry(device=DEVICE, time_s=now_s, temperature_c=50.0)
        return readings, [told] * self._telemetry, 0.005


@pytest.fixture
def report_of(make_lab, experiment, measure):
    """A report of two cycles on a machine where some parts are missing."""

    def make(*, energy, streaming, telemetry, idle):
        lab = make_lab(
            Scripted(energy=energy, telemetry=telemetry),
            idle="auto" if idle else "off",
            idle_s=0.1,
        )
        script = {"prefill_s": 0.02, "token_s": 0.001}
        # A second of windows, where net energy is to be.
        effort = {"windows": 50 if energy and idle else 3}
        one = experiment(script=script, effort=effort, streaming=streaming)
        cycles = [measure(lab, one, index=0) for _ in range(2)]
        return record(
            [experiment_record(one, "f00", cycles)],
            environment={"gpu": []},
            meters=lab.metering.describe(),
        )

    return make


def absent_in(window):
    """Where the nulls of a window's operations and memory have their reasons."""
    groups = {"flops": window.flops, "memory": window.memory}
    return {
        f"windows.{group}.{key}"
        for group, values in groups.items()
        for key, value in values.items()
        if value is None and key != "reason"
    }


def name(parts):
    return "+".join(key for key, there in parts.items() if there) or "nothing"


COMBINATIONS = [
    dict(zip(("energy", "streaming", "telemetry", "idle"), there, strict=True))
    for there in product((True, False), repeat=4)
]


@pytest.mark.parametrize("parts", COMBINATIONS, ids=name)
def test_a_report_is_whole_whatever_is_missing(report_of, tmp_path, parts):
    """JSON by its schema, CSV with all columns, a table; nulls have their reasons."""
    record = report_of(**parts)
    write_json(record, tmp_path / "r.json")
    write_csv(record, tmp_path / "r.csv")
    tree = json.loads((tmp_path / "r.json").read_text(), parse_constant=pytest.fail)
    jsonschema.validate(tree, schema())
    assert read_json(tmp_path / "r.json") == record

    one = record.experiments[0]
    known = set(one.summary)
    assert ("energy_per_output_token_j" in known) is parts["energy"]
    assert ("idle_power_w" in known) is (parts["energy"] and parts["idle"])
    assert ("energy_net_j" in known) is (parts["energy"] and parts["idle"])
    assert ("ttft_p50_ms" in known) is parts["streaming"]
    assert "output_throughput_tps" in known
    for metric in METRICS:
        assert (metric in known) != (f"summary.{metric}" in one.nulls)
    for cycle in one.cycles:
        absent = {key for key, value in cycle.metrics.items() if value is None}
        assert absent <= cycle.nulls.keys()
        for window in cycle.windows:
            assert absent_in(window) <= cycle.nulls.keys()
        heat = [window.thermal is not None for window in cycle.windows]
        assert any(heat) is parts["telemetry"]

    with (tmp_path / "r.csv").open(newline="") as file:
        (cells,) = csv.DictReader(file)
    assert list(cells) == columns()
    assert bool(cells["energy_gross_j"]) is parts["energy"]
    assert bool(cells["ttft_p50_ms"]) is parts["streaming"]
    assert cells["temperature_max_c"] == ("50.0" if parts["telemetry"] else "")
    assert cells["throttled"] == ""
    plain = {cell for column, cell in cells.items() if "requests_" not in column}
    assert not {"None", "nan", "0"} & plain

    text = "\n".join(summary(record).lines(120, []))
    assert ("no energy: no_device" in text) is not parts["energy"]
    assert ("J/token" in text) is parts["energy"]
    assert ("TTFT ms" in text) is parts["streaming"]
    assert "tokens/s" in text
    unit = "J/token" if parts["energy"] else "token/s"
    assert unit in headline(Result(one.cycles))


# What a cycle's record may be without: by name, the metrics that go with it.
CUT = {
    "energy": (
        "energy_",
        "_j",
        "_w",
        "joule",
        "edp_",
        "ed2p_",
        "token_efficiency",
        "emissions",
    ),
    "latency": ("ttft_", "tpot_", "itl_", "e2e_", "edp_", "ed2p_"),
    "phases": ("prefill", "decode"),
    "flops": ("flops", "mfu", "mbu"),
    "thermal": (),
    "memory": ("memory_", "tokens_per_gb"),
    "idle": ("_net", "idle_"),
    "warmup": ("warmup_",),
    "facts": (),
    "measuring": (),  # of energy, which is then an estimate
}


def cut(cycle, parts):
    """The cycle as a tree, without these parts, and with the reasons of its nulls.

    Of its many windows the first two and the last, which is one of latency, are enough.
    """
    tree = cycle.model_dump()
    tree["windows"] = [*tree["windows"][:2], tree["windows"][-1]]
    for part in parts:
        words = CUT[part]
        for name in tree["metrics"]:
            if any(word in name for word in words):
                tree["metrics"][name] = None
                tree["nulls"][name] = f"no_{part}"
        if part in ("idle", "warmup"):
            tree[part] = None
        for window in tree["windows"]:
            _cut(window, part)
        if part == "latency":
            kept = [one for one in tree["windows"] if one["kind"] == "energy"]
            tree["windows"], tree["latency"] = kept, None
        if part == "measuring":
            tree["flags"] = [*tree["flags"], "estimated_energy"]
        if part == "facts":
            tree |= {"engine": {}, "model": {}, "effective": {}, "worker": {}}
            tree |= {"prompts": {}, "machine": {}, "load": {}}
    return tree


def _cut(window, part):
    if part == "energy":
        nulls = dict.fromkeys(one for one in window["energy"] if "_j" in one)
        window["energy"] |= {**nulls, "scope": [], "per_device": [], "quality": None}
        window["energy"] |= dict.fromkeys(("method", "meter", "basis"))
        window["attribution"] = None
    elif part == "measuring":
        window["energy"] |= {"basis": "estimated", "method": "model"}
    elif part == "memory":
        window["memory"] = dict.fromkeys(window["memory"])
    elif part in ("phases", "flops", "thermal", "latency"):
        window[part] = None


FAILED = {"kind": "timeout", "type": "Timeout", "message": "late", "detail": ""}
LOST = {"metrics": {}, "windows": [], "status": "failed", "error": FAILED}


def told_everywhere(record, earlier, folder):
    """Give a record to all that reads one; the rows of its files."""
    write_json(record, folder / "r.json")
    text = (folder / "r.json").read_text()
    VALID.validate(json.loads(text, parse_constant=pytest.fail))
    assert read_json(folder / "r.json") == record
    write_csv(record, folder / "r.csv")
    write_cycles(record, folder / "c.csv")
    assert summary(record).lines(120, [])
    for pair in ([record, earlier], [earlier, record]):
        pairs = comparing.compare(pair, None)
        assert [*comparing.lines(pairs, 120), *comparing.refusals(pairs)]
        assert all([*differing(one)] for one in diff(*pair))
        found = gate([pair[0]], [pair[1]], [Limit.parse("ttft_p50_ms:5%")])
        assert {one.verdict for one in found} <= {"inconclusive", "incomparable"}
        assert github.summary(found, measured=summary(record)).count("### lem") == 2
    for service in ("bencher", "github-action-benchmark", "pytest-benchmark"):
        with suppress(ConfigError):
            exported(record, service, [], everything=True)
    rows = []
    for name in ("r.csv", "c.csv"):
        with (folder / name).open(newline="") as file:
            rows.append(list(csv.DictReader(file)))
    return rows


VALID = jsonschema.Draft202012Validator(schema())


SINGLE = [{*some} for n in (0, 1) for some in combinations(CUT, n)]
SEVERAL = [{*some} for n in (2, len(CUT) - 1) for some in combinations(CUT, n)]


@pytest.mark.parametrize(
    "parts",
    [[*SINGLE, {*CUT}], pytest.param(SEVERAL, marks=pytest.mark.slow)],
    ids=["one or all", "two or all but one"],
)
def test_a_record_is_told_everywhere_whatever_is_cut_out(report_of, tmp_path, parts):
    """Beside a failed cycle, and where all have failed."""
    whole = report_of(energy=True, streaming=True, telemetry=True, idle=True)
    one = whole.experiments[0]
    bare = whole.session.model_copy(update={"git": None, "meters": []})
    for without in parts:
        first, second = (cut(cycle, without) for cycle in one.cycles)
        for cycles in ([first, {**second, **LOST}], [{**first, **LOST}] * 2):
            found = [Cycle.model_validate(each) for each in cycles]
            told = one.model_copy(update=found_in(found))
            record = whole.model_copy(update={"experiments": [told]})
            if "facts" in without:
                update = {"environment": {}, "session": bare}
                record = record.model_copy(update=update)
            (row,), by_cycle = told_everywhere(record, whole, tmp_path)
            statuses = [each.status for each in found]
            assert [each["status"] for each in by_cycle] == statuses
            measured = "energy" not in without and "complete" in statuses
            assert bool(row["energy_gross_j"]) is measured
            guessed = "estimated_energy" in row["flags"].split()
            assert guessed is ("measuring" in without)
            for metric in METRICS:
                assert (metric in told.summary) != (f"summary.{metric}" in told.nulls)
