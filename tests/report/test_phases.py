"""`lem phases`: from the report of a designed experiment to the price of a token."""

import json
import subprocess
import sys

import pytest

from pytest_lem.records.export import read_json
from pytest_lem.report.phases import lines, phases

SOURCE = """
import pytest

@pytest.mark.lem(fake={"prefill_s": 0.02, "token_s": 0.002})
@pytest.mark.parametrize(
    ("input_tokens", "output_tokens"), [(8, 6), (8, 21), (32, 6), (32, 21)]
)
def test_it(lem, input_tokens, output_tokens):
    lem()

@pytest.mark.lem(fake={"prefill_s": 0.02, "token_s": 0.002}, batch_size=2)
def test_other(lem):
    lem()
"""

STAMPED = """
import pytest

@pytest.mark.lem(
    fake={"prefill_s": 0.04, "token_s": 0.002},
    batch_size=2, requests=4, input_tokens=8, output_tokens=21,
)
def test_it(lem):
    lem()
"""

OPTIONS = (
    "--lem-backend=fake --lem-meter=fake:100 --lem-idle=off --lem-windows=2 "
    "--lem-warmup=off --lem-cycles=2 --lem-json=r.json -p no:randomly"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phases")
    (folder / "test_it.py").write_text(SOURCE)
    command = [sys.executable, "-m", "pytest", "-q", *OPTIONS.split()]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "r.json"


def lem(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest_lem.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_prices_of_a_scripted_engine_come_out(report):
    """100 W over 20 ms and 2 ms a further token: 1.8 J fixed, 0.2 J a token out."""
    found, other = phases(read_json(report))
    assert len(found.experiments) == 4
    assert found.fit.fixed.value == pytest.approx(1.8, rel=1e-3)
    assert found.fit.per_input_token.value == pytest.approx(0, abs=1e-4)
    assert found.fit.per_output_token.value == pytest.approx(0.2, rel=1e-3)
    assert other.fit is None
    assert "at least three different lengths" in other.reason
    assert any("per output token" in line for line in lines(found))
    assert lines(other)[-1].startswith("  no fit: ")


def test_cold_starts_are_fitted_by_themselves(report):
    """What a first pass costs says nothing of the others."""
    record = read_json(report)
    first, *rest = record.experiments
    mixed = [first.model_copy(update={"cold": True}), *rest]
    found = phases(record.model_copy(update={"experiments": mixed}))
    assert [len(one.experiments) for one in found] == [1, 3, 1]


def test_the_command_prints_both_for_people_and_as_json(report):
    """One fit a set of experiments, in words or as one object a line."""
    told = lem("phases", report)
    assert told.returncode == 0
    assert "per output token  0.2" in told.stdout
    objects = [
        json.loads(x) for x in lem("phases", report, "--json").stdout.split("\n") if x
    ]
    assert [len(one["experiments"]) for one in objects] == [4, 1]
    assert objects[0]["fit"]["runs"] == 8


def test_what_was_measured_of_each_phase_stands_beside_the_fit(pytester):
    """100 W over 40 ms for 8 tokens in, then 2 ms a token out, at batch size 2."""
    pytester.makepyfile(test_it=STAMPED)
    options = [*OPTIONS.split(), "--lem-phases"]
    done = pytester.runpytest_subprocess(*options)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(
        [
            "Prefill per input token, decode per output token*",
            " experiment * batch *prefill J/token *prefill W *decode J/token *decode W",
            " test_it*  2 * ~0.25 *~100 * ~0.1 *~100",
        ]
    )
    told = lem("phases", pytester.path / "r.json").stdout
    assert "  measured, batches of 2: test_it.py::test_it[fake]" in told
    assert "    prefill 0.25 J/input token at 100 W" in told
    assert "    decode  0.1 J/output token at 100 W" in told
    objects = map(
        json.loads,
        lem("phases", pytester.path / "r.json", "--json").stdout.splitlines(),
    )
    (measured,) = [one["measured"] for one in objects if one["measured"]]
    assert measured["test_it.py::test_it[fake]"]["batch"] == 2


def test_what_is_no_report_is_told_in_one_line(tmp_path):
    """A file of something else ends with exit code 2 and no traceback."""
    path = tmp_path / "x.json"
    path.write_text("[]")
    done = lem("phases", path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "is no report of pytest-lem" in done.stderr
