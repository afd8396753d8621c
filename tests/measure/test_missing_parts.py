"""Whatever is missing, there is a valid report, a CSV row and a summary table."""

import csv
import json
from itertools import product

import jsonschema
import pytest

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.meters import Device, Telemetry
from pytest_lem.meters.fake import FakeMeter
from pytest_lem.records.assemble import experiment_record
from pytest_lem.records.export import columns, read_json, write_csv, write_json
from pytest_lem.records.record import Plan, Record, Session
from pytest_lem.records.result import Result
from pytest_lem.records.schema import schema
from pytest_lem.report.terminal import headline, summary

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
        return Record(
            session=Session(
                id="s",
                started_at="2026-01-01T00:00:00+00:00",
                plugin_version="0",
                command=["pytest"],
                label=None,
                order="interleaved",
                seed=0,
                git=None,
                meters=lab.metering.describe(),
                carbon={},
                status="complete",
            ),
            environment={"gpu": []},
            plan=Plan(order="interleaved", seed=0, planned=2, executed=[], skipped=[]),
            experiments=[experiment_record(one, "f00", cycles)],
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

    text = "\n".join(summary(record, 120, []))
    assert ("no energy: no_device" in text) is not parts["energy"]
    assert ("J/token" in text) is parts["energy"]
    assert ("TTFT ms" in text) is parts["streaming"]
    assert "tokens/s" in text
    unit = "J/token" if parts["energy"] else "token/s"
    assert unit in headline(Result(one.cycles))
