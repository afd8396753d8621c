"""Commands over many experiments, typed as a user does, of a session that ran."""

import csv
import json

import pytest
from typer.testing import CliRunner

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.cli import app
from pytest_lem.records.export import read_json
from pytest_lem.report.factors import all_sides
from pytest_lem.report.sensitivity import shares

SOURCE = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("output_tokens", [4, 8])
def test_it(lem, output_tokens, batch_size):
    lem()
"""
OPTIONS = (
    "--lem-backend=fake --lem-meter=fake:100 --lem-idle=off --lem-windows=2 "
    "--lem-warmup=off --lem-cycles=2 -p no:randomly --lem-set=requests=2 "
    "--lem-set=fake.token_s=0.005 --lem-json=report.json"
)


@pytest.fixture(scope="module")
def measured():
    """The report, which is measured once."""
    return []


@pytest.fixture
def report(pytester, measured, monkeypatch):
    """The report of a grid of a scripted engine."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("LEM_STORE", raising=False)
    path = pytester.path / "report.json"
    if not measured:
        pytester.makepyfile(test_it=SOURCE)
        pytester.runpytest_inprocess(*OPTIONS.split()).assert_outcomes(passed=4)
        measured.append(path.read_bytes())
    path.write_bytes(measured[0])
    return path


def lem(*arguments):
    """(exit status, output, errors) of a command."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stdout, done.stderr


def test_the_front_is_told_with_who_beats_whom(report):
    """The widest batch of the longest texts costs least and is the fastest."""
    status, output, _ = lem("pareto", report)
    assert status == 0
    rows = [one.split() for one in output.splitlines() if one.startswith(" test_it")]
    assert rows[0][0] == "test_it[fake-8-2]"
    assert [("yes" in row, row[-1]) for row in rows[:2]] == [
        (True, "-"),
        (False, "test_it[fake-8-2]"),
    ]
    assert "~ synthetic: nothing measured these values" in output


def test_a_front_for_each_value_of_a_key(report, tmp_path):
    """As lines of JSON and as a table that a spreadsheet does not run."""
    whole = json.loads(report.read_bytes())
    for one in whole["experiments"]:
        one["id"] = f"=cmd()|{one['id']}"
    report.write_text(json.dumps(whole))
    asked = ("--metrics=energy_gross_j,duration_s:higher", "--by=output_tokens")
    file = tmp_path / "front.csv"
    status, output, _ = lem("pareto", report, *asked, "--json", "--csv", file)
    found = [json.loads(line) for line in output.splitlines()]
    assert status == 0
    assert [one["group"] for one in found] == ["4", "4", "8", "8"]
    assert [one["on_front"] for one in found] == [True] * 4
    rows = list(csv.DictReader(file.open()))
    assert [row["experiment"][:6] for row in rows] == ["'=cmd("] * 4
    assert float(rows[0]["energy_gross_j"]) == found[0]["energy_gross_j"]


def test_quality_that_users_found_stands_against_energy(report):
    """A score that was joined is named as a metric is; its direction may be told."""
    scores = report.with_name("scores.csv")
    names = [one["id"] for one in json.loads(report.read_bytes())["experiments"]]
    rows = [f"{name},{k}" for k, name in enumerate(names[:3])]
    scores.write_text(
        "\n".join(["experiment,accuracy,style", *(f"{r},1" for r in rows)])
    )
    assert lem("quality", "join", report, scores)[0] == 0
    _, output, _ = lem(
        "pareto", report, "--metrics=accuracy,tokens_per_joule", "--json"
    )
    found = [json.loads(line) for line in output.splitlines()]
    assert [one["accuracy"] for one in found] == [0, 1, 2, None]
    assert [one["on_front"] for one in found] == [False, True, True, None]
    status, _, errors = lem("pareto", report, "--metrics=style,edp_js")
    assert (status, errors.count("say style:lower or :higher")) == (2, 1)
    _, output, _ = lem("pareto", report, "--metrics=style:higher,edp_js")
    assert "1 of 4 have not all metrics: they are no part of it" in output


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--metrics=ttft_ms,edp_js"], "metric 'ttft_ms' is unknown; did you mean"),
        (["--metrics=edp_js:up,flops"], "direction 'up' is unknown (choices: higher,"),
        (["--metrics=edp_js,flops"], "flops is neither better high nor low: say"),
        (["--metrics=edp_js"], "a front is of two metrics or more"),
        (["--by=batch"], "key 'batch' is unknown; did you mean 'batch_size'?"),
        (["--backend=fake"], "reports are taken whole: --backend and such are of"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(report, asked, told):
    """With the nearest that can."""
    status, output, errors = lem("pareto", report, *asked)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert told in errors


def test_a_store_has_its_front_as_well(report, monkeypatch):
    """Of those of its records that are wanted."""
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(report.parent)
    lem("merge", report)
    status, output, _ = lem("pareto", "--json", "--backend=fake")
    assert (status, len(output.splitlines())) == (0, 4)
    assert lem("pareto", "--backend=vllm")[0] == 1


def test_the_settings_that_drive_a_metric_are_told_with_their_effects(report):
    """Twice as many at once halves the energy of a token, whatever the length."""
    status, output, _ = lem("sensitivity", report, "--metrics=energy_gross_j", "--log")
    assert status == 0
    rows = [one.split() for one in output.splitlines() if one.startswith(" ")]
    assert [row[0] for row in rows[2:4]] == ["batch_size", "output_tokens"]
    effect = next(row for row in rows if row[:3] == ["batch_size", "1", "2"])
    assert effect[3] == "~-0.693"
    assert "run in the order interleaved: what drifts" in output
    assert "~ synthetic: nothing measured these values" in output


def test_shares_and_effects_are_rows_of_one_table(report, tmp_path):
    """In JSON and in CSV; shares of a whole grid add up."""
    file = tmp_path / "drives.csv"
    _, output, _ = lem("sensitivity", report, "--json", "--csv", file)
    found = [json.loads(line) for line in output.splitlines()]
    energy = [one for one in found if one["metric"] == "energy_per_output_token_j"]
    shares = {one["term"]: one["share"] for one in energy if one["kind"] == "share"}
    assert sum(shares.values()) == pytest.approx(1)
    assert "output_tokens x batch_size" in shares
    assert len(list(csv.DictReader(file.open()))) == len(found)


def test_what_has_no_spread_is_said_to_have_none(report):
    """A metric that nobody has, one setting alone, a metric that is no metric."""
    _, output, _ = lem("sensitivity", report, "--metrics=ttft_p50_ms")
    assert output == "ttft_p50_ms, ms: no experiment has it\n"
    whole = json.loads(report.read_bytes())
    report.write_text(json.dumps({**whole, "experiments": whole["experiments"][:1]}))
    _, output, _ = lem("sensitivity", report, "--metrics=edp_js", "--by=backend")
    assert output.startswith("edp_js of fake, J*s: all settings are the same\n")
    assert "did you mean 'edp_js'?" in lem("sensitivity", report, "--metrics=edp")[2]


def test_shares_of_all_metrics_stand_in_a_heatmap(report):
    """A row for each setting that varies, a column for each metric that does."""
    found = shares(all_sides([read_json(report)]), [*METRICS])
    assert sorted(found.settings) == ["batch_size", "output_tokens"]
    column = found.metrics.index("energy_per_output_token_j")
    assert {len(row) for row in found.shares} == {len(found.metrics)}
    assert sum(row[column] for row in found.shares) == pytest.approx(1, abs=0.05)


def test_what_a_metric_falls_with_is_told_and_what_is_left_out(report):
    """Energy of a token falls with the batch; four experiments are few for any p."""
    status, output, errors = lem("correlate", report, "--metrics=tokens_per_joule")
    assert (status, errors) == (0, "")
    rows = [one.split() for one in output.splitlines() if one.startswith(" ")]
    assert rows[2][:5] == ["batch_size", "fake", "tokens_per_joule", "4", "~+0.89"]
    assert "left out, the same in all experiments: backend, model, " in output
    _, output, _ = lem("correlate", report, "--metrics=ttft_p50_ms", "--json")
    found = [json.loads(line) for line in output.splitlines()]
    told = {one["setting"]: one for one in found if one["metric"]}
    assert set(told) == {"batch_size", "output_tokens"}
    assert told["batch_size"]["rho"] is None
    assert told["batch_size"]["reason"] == "0 experiments have both, and it takes 4"


def test_backends_are_kept_apart_and_pooled_with_a_warning(report):
    """Words have no order but those of precision; an experiment counts once."""
    whole = json.loads(report.read_bytes())
    ways = [("fake", "float32"), ("fake", "float16"), ("double", "bfloat16")]
    whole["experiments"] *= 3
    text = json.dumps(whole)
    whole = json.loads(text)
    for k, one in enumerate(whole["experiments"]):
        backend, precision = ways[k // 4]
        one["identity"] = f"{one['identity'][:-1]}{k // 4}"
        one["spec"].update(backend=backend, engine={"mode": "ab"[k % 2]})
        one["spec"]["model"]["precision"] = precision
    whole["experiments"] += json.loads(text)["experiments"][:4]
    whole["experiments"][-4:] = whole["experiments"][:4]
    report.write_text(json.dumps(whole))
    status, output, errors = lem("correlate", report, "--metrics=edp_js", "--json")
    found = [json.loads(line) for line in output.splitlines()]
    told = {(one["group"], one["setting"]): one for one in found}
    assert (status, errors) == (0, "")
    assert told["fake", "precision"]["n"] == told["fake", "batch_size"]["n"] == 8
    assert told["fake", "precision"]["rho"] == pytest.approx(0, abs=1e-9)
    assert told["double", "batch_size"]["n"] == 4
    assert told["fake", "fake.mode"]["reason"].startswith("names have no order")
    _, output, errors = lem("correlate", report, "--metrics=edp_js", "--pooled")
    assert errors.startswith("double, fake are pooled: ")
    assert " 12 " in output
