"""`lem gate`: a table for people, JSON for scripts, and the exit status for CI."""

import json

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app
from pytest_lem.records.export import write_json

ENERGY = "energy_per_output_token_j"


@pytest.fixture
def gate(tmp_path, make_report, reference):
    """Run `lem gate` on a run of these values; the reference has three sessions."""

    def gate(values, *options, **changed):
        paths = [tmp_path / f"{k}.json" for k in range(3)]
        for path, report in zip(paths, reference(), strict=True):
            write_json(report, path)
        run = tmp_path / "run.json"
        write_json(make_report(values, day=20, **changed), run)
        against = [f"--against={path}" for path in paths]
        return CliRunner().invoke(app, ["gate", str(run), *against, *options])

    return gate


def test_a_pass_exits_with_0_and_tells_what_could_not_have_been_seen(gate):
    """The default limit is 5 % of energy per output token."""
    done = gate([1.0, 1.01])
    assert (done.exit_code, done.stderr) == (0, "")
    row = next(line for line in done.stdout.splitlines() if "t.py::test" in line)
    assert row.split()[1:4] == [ENERGY, "1.005", "1.005"]
    assert row.split()[-6:] == ["+5", "%", "1", ":", "3", "pass"]
    assert "changes below 8.3 % cannot be told from noise here" in done.stdout


def test_a_regression_exits_with_1(gate):
    """With the change, by how much it is at least, and what else changed."""
    done = gate([1.25, 1.25], worker={"packages": {"torch": "2.13.0"}})
    assert done.exit_code == 1
    assert "regression" in done.stdout
    assert "+24.4 % (+14.8 %)" in done.stdout
    change = "also changed: worker.packages.torch: None -> '2.13.0'"
    assert f"t.py::test {ENERGY}: {change}\n" in done.stdout


def test_the_incomparable_exits_with_1_by_what_differs(gate):
    """Unless that is allowed."""
    changed = {"engine": {"name": "vllm", "version": "9"}}
    done = gate([1.0, 1.0], **changed)
    assert done.exit_code == 1
    assert "incomparable: engine 'vllm 0.30.0' and 'vllm 9'" in done.stdout
    assert gate([1.0, 1.0], "--allow=engine", **changed).exit_code == 0


def test_the_inconclusive_exits_as_is_asked(gate):
    """0 unless it is to fail."""
    changed = {"flags": ["estimated_energy"]}
    done = gate([1.0, 1.0], **changed)
    assert done.exit_code == 0
    assert f"t.py::test {ENERGY}: inconclusive: estimated_energy" in done.stdout
    assert gate([1.0, 1.0], "--inconclusive=fail", **changed).exit_code == 1


def test_json_has_one_object_for_each_limit(gate):
    """With the rule, both probabilities, values and spread."""
    done = gate([2.0, 2.0], "--json", f"--fail={ENERGY}:5%", "--fail=tpot_mean_ms:3%")
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["verdict"], second["verdict"]) == ("regression", "inconclusive")
    assert first["shift"]["rule"] == "prediction_interval"
    assert first["p"] < first["p_of_suite"] + 1e-12 < 0.01
    assert (len(first["values"]), len(first["reference"])) == (2, 6)
    assert set(first["spread"]) == {
        "within_cycle",
        "between_cycles",
        "between_sessions",
    }
    assert (second["limit_pct"], second["shift"]) == (3.0, None)


def test_what_is_wrong_is_told_in_one_line(gate, tmp_path):
    """A limit that is none; what the reference alone has."""
    done = gate([1.0, 1.0], "--fail=energy:5%")
    assert done.exit_code == 2
    assert done.stderr.startswith("--fail: metric 'energy' is unknown; did you mean")
    done = gate([1.0, 1.0], name="t.py::new", identity="new")
    assert (done.exit_code, done.stderr) == (1, "t.py::test: in the reference alone\n")


def test_github_is_told_at_the_lines_of_the_tests(gate, tmp_path, monkeypatch):
    """Escaped as its commands want it; the summary is appended to what is there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    source = "import pytest\n\nclass TestIt:\n    def test(self):\n        pass\n"
    (tmp_path / "t.py").write_text(source)
    (tmp_path / "s.md").write_text("before\n")
    name = "t.py::TestIt::test[a,b|<c>-100%]"
    done = gate([1.25, 1.25], "--annotate", "--summary=s.md", name=name)
    (line,) = done.stderr.splitlines()
    where = "file=t.py,line=4,title=lem%3A regression%3A t.py%3A%3ATestIt%3A%3Atest["
    assert line.startswith(f"::error {where}a%2Cb|<c>-100%25]::regression: {ENERGY} ")
    assert "+24.4 %25 (+14.8 %25), limit +5 %25, 1 : 3 sessions%0A" in line
    told = (tmp_path / "s.md").read_text().splitlines()
    assert told[:2] == ["before", "### lem: 1 regression"]
    row = next(one for one in told if "+24.4 %" in one)
    assert row.startswith("| t.py::TestIt::test&#91;a,b&#124;&#60;c&#62;-100%&#93; | ")
    assert row.count("|") == told[3].count("|")
    flags = {"flags": ["estimated_energy"]}
    done = gate([1.0, 1.0], "--annotate", **flags)
    assert done.stderr.startswith("::warning file=t.py,title=lem%3A inconclusive%3A t")
    done = gate([1.0, 1.0], "--annotate", "--inconclusive=fail", **flags)
    assert done.stderr.startswith("::error ")
    assert gate([1.0, 1.0], "--annotate").stderr == ""
