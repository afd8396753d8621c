"""`lem export`: a report's stored times by the formulas of other tools."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app

SOURCE = """
import pytest

@pytest.mark.lem(
    requests=12, batch_size=4, output_tokens=6, streaming=True,
    streaming_warmup_requests=2, arrivals={"rate_rps": 900}, slo={"tpot_ms": 3},
)
def test_it(lem):
    lem()
"""
OPTIONS = (
    "--lem-backend=fake --lem-meter=none --lem-windows=1 --lem-warmup=off "
    "--lem-cycles=2 --lem-json=r.json -p no:randomly"
)


@pytest.fixture
def measured(pytester):
    """Measure, with some options more; the report's path."""
    pytester.makepyfile(test_it=SOURCE)

    def measured(*more):
        done = pytester.runpytest_subprocess(*OPTIONS.split(), *more)
        done.assert_outcomes(passed=1)
        return pytester.path / "r.json"

    return measured


def lem(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


def test_each_timed_window_is_an_object_in_the_shape_of_the_tool(measured, pytester):
    """Without requests that warm up; windows without times of tokens if asked for."""
    report = measured("--lem-save-stamps=times")
    first, second = objects(lem(report, "--as", "vllm").output)
    assert (first["completed"], first["x_pytest_lem"]["left_out"]) == (12, 2)
    assert second["x_pytest_lem"]["cycle"] == 1
    assert first["request_rate"] == 900
    window = json.loads(report.read_text())["experiments"][0]["cycles"][0]["windows"][1]
    assert first["mean_ttft_ms"] == pytest.approx(window["latency"]["ttft_ms"]["mean"])
    assert first["request_goodput"] == pytest.approx(first["request_throughput"])
    other = objects(lem(report, "--as", "aiperf").output)[0]
    assert other["inter_token_latency"]["avg"] == pytest.approx(first["mean_tpot_ms"])
    out = pytester.path / "o.jsonl"
    assert lem(report, "--as", "mlperf", "--all", "-o", out).output == ""
    every = objects(out.read_text())
    assert [one["x_pytest_lem"]["kind"] for one in every] == ["energy", "latency"] * 2
    assert every[0]["x_pytest_lem"]["nulls"]["result_first_token_min_latency_ns"]
    shutil.move(pytester.path / "times", pytester.path / "moved")
    lost = lem(report, "--as", "guidellm")
    assert (lost.exit_code, lost.stderr.count("\n")) == (2, 1)
    assert "is not there: say --stamps" in lost.stderr
    found = lem(report, "--as", "guidellm", "--stamps", pytester.path / "moved")
    assert len(objects(found.output)) == 2


def test_a_report_without_times_is_refused_with_the_option_that_keeps_them(measured):
    """In one line."""
    refused = lem(measured(), "--as", "vllm")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "no times of requests: measure with --lem-save-stamps=DIR" in refused.stderr
