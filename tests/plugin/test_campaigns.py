"""`*.lem.yaml` as tests: through the same door, and out of it with the same report."""

import json
import sys

import pytest


@pytest.fixture
def write(project):
    """Write YAML files of the project, by path."""

    def write(**files):
        for name, text in files.items():
            path = project.path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    return write


SWEEP = """
cycles: 2
order: reversed
configs: [configs/named.yaml]
base_config:
  model: {name: "synthetic:llama-tiny", fp_precision: fp16}
  max_output_tokens: 3
vary:
  backend: [fake]
  batching: {batch_size: [1, 2]}
"""
NAMED = "extends: common.yaml\nconfig_name: named\nbackend: fake\nseed: 7\n"


def test_a_campaign_runs_and_reports_like_tests(run, write, project, report):
    """Ids, cycles, order, and the file that each value came from."""
    write(
        **{"sweep.lem": SWEEP},
        configs__named=NAMED,
        configs__common="max_output_tokens: 5\nnum_input_prompts: 2\n",
    )
    result = run(None, "-v", "--lem-json=r.json", "--lem-set=input_tokens=6")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        ["sweep.lem.yaml::backend=fake-batching.batch_size=2 PASSED * 2 cycles*"]
    )
    record = report()
    assert record.plan.order == "reversed"
    assert [one["experiment_id"].partition("::")[2] for one in record.plan.executed][
        :3
    ] == [
        "backend=fake-batching.batch_size=2",
        "backend=fake-batching.batch_size=1",
        "named",
    ]
    named = next(one for one in record.experiments if one.id.endswith("::named"))
    work = named.spec["workload"]
    assert (work["seed"], work["output_tokens"], work["requests"]) == (7, 5, 2)
    assert len(named.cycles) == 2
    assert named.provenance["seed"] == "file configs/named.yaml"
    assert named.provenance["output_tokens"] == "file configs/common.yaml"
    assert named.provenance["cycles"] == "file sweep.lem.yaml"
    assert named.provenance["input_tokens"] == "cli"
    assert named.provenance["backend"] == "file configs/named.yaml"


def test_one_experiment_is_the_same_in_yaml_and_in_python(run, write, report):
    """The same identity, since the same is asked for."""
    write(**{"one.lem": "max_output_tokens: 3\nfp_precision: bf16\n"})
    source = """
        import pytest

        @pytest.mark.lem(output_tokens=3, precision="bfloat16")
        def test_it(lem):
            lem()
    """
    result = run(source, "--lem-json=r.json", "--lem-cycles=1")
    result.assert_outcomes(passed=2)
    yaml, python = report().experiments
    assert {yaml.id, python.id} == {
        "one.lem.yaml::one[fake]",
        "test_it.py::test_it[fake]",
    }
    assert yaml.identity == python.identity


def test_points_that_cannot_be_are_skipped_counted_and_told(run, write, report):
    """With their reasons in the report; more than half of them are a warning."""
    write(**{"g.lem": "base_config: {}\nvary: {output_tokens: [3, 0, 9000]}\n"})
    result = run(None, "-rs", "--lem-json=r.json", "--lem-cycles=1")
    result.assert_outcomes(passed=1, skipped=2, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "lem plan: 1 experiments (2 left out of grids), *",
            "*LemConfigWarning: g.lem.yaml: 2 of the 3 points of its grid cannot be*",
            "SKIPPED * output_tokens=0: Input should be greater than or equal to 1",
        ]
    )
    reasons = {one["experiment_id"]: one["reason"] for one in report().plan.skipped}
    assert "make 9004" in reasons["g.lem.yaml::output_tokens=9000[fake]"]
    assert len(reasons) == 2


def test_the_command_line_chooses_among_the_backends_that_files_name(
    run, write, report
):
    """As it does among those of markers; a file that names none takes those typed."""
    write(
        **{"g.lem": "base_config: {}\nvary: {backend: [fake, vllm]}\n"},
        **{"one.lem": "max_output_tokens: 3\n"},
    )
    result = run(None, "--lem-backend=fake", "--lem-json=r.json", "--lem-cycles=1")
    result.assert_outcomes(passed=2, deselected=1)
    assert report().plan.skipped == [
        {
            "experiment_id": "g.lem.yaml::backend=vllm",
            "reason": "backend_not_asked_for",
        }
    ]


def test_all_that_is_wrong_with_files_is_said_with_all_else(run, write, errors_of):
    """In one error, each line with its file, and the file that it takes it from."""
    write(
        **{"a.lem": "extends: base.yaml\nbackend: fake\n"},
        **{"b.lem": "configs: [nix.yaml]\nbase_config: {decoder: {topp: 1}}\n"},
        **{"c.lem": "order: random\nbase_config: {}\n"},
        **{"d.lem": "base_config: {}\nvary: {batch_size: [0]}\n"},
        base="batch_size: 0\n",
    )
    source = "import pytest\n@pytest.mark.lem(sed=1)\ndef test_it(lem): ...\n"
    result = run(source)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    lines = "\n".join(errors_of(result))
    for told in (
        "batch_size=0: Input should be greater than or equal to 1 (file base.yaml)",
        "nix.yaml: cannot be read: No such file or directory",
        "b.lem.yaml: key 'decoder.topp' is unknown; did you mean 'decoder.top_p'?",
        "c.lem.yaml: order 'random' is unknown",
        "test_it.py::test_it[fake]: key 'sed' is unknown",
    ):
        assert told in lines


def test_a_campaign_without_any_point_is_an_error(run, write, errors_of):
    """Nothing would be measured, and nobody had asked for that."""
    write(**{"d.lem": "base_config: {}\nvary: {batch_size: [0]}\n"})
    result = run(None)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors_of(result)
    assert line.startswith("d.lem.yaml: no point of its grid can be: batch_size=0")


def test_two_orders_are_refused_unless_the_command_line_says_one(run, write, report):
    """A session runs in one order."""
    write(
        **{"a.lem": "order: grouped\nbase_config: {}\n"},
        **{"b.lem": "order: reversed\nbase_config: {}\n"},
    )
    result = run(None)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*a.lem.yaml wants grouped, b.lem.yaml wants reversed*"]
    )
    run(None, "--lem-order=shuffled", "--lem-json=r.json").assert_outcomes(passed=2)
    assert report().plan.order == "shuffled"


def test_what_fails_in_an_experiment_is_told_in_its_own_words(run, write):
    """The line of the error, and no way through the house."""
    write(**{"a.lem": "fake: {fail_at: generate, fail_kind: out_of_memory}\n"})
    result = run(None, "--lem-cycles=1")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["FAILED a.lem.yaml::a[[]fake] - *"])
    result.stdout.no_fnmatch_line("*campaigns.py*")


def test_more_experiments_than_were_meant_are_refused_before_any_runs(run, write):
    """With their number and time; the plan may be looked at."""
    write(**{"g.lem": "base_config: {}\nvary: {batch_size: [1, 2, 3]}\n"})
    result = run(None, "--lem-max-runs=2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    told = (
        "*3 experiments of about * are more than --lem-max-runs=2: --lem-allow-large *"
    )
    result.stderr.fnmatch_lines([told])
    run(None, "--lem-max-runs=2", "--lem-plan").assert_outcomes()
    run(None, "--lem-max-runs=2", "--lem-allow-large").assert_outcomes(passed=3)


def test_a_grid_parametrises_a_test_by_what_each_backend_has(run, report):
    """Every value is in the marker of its point; sections multiply their own."""
    source = """
        import pytest
        from pytest_lem import lem_grid

        SIZES = {"batch_size": [1, 2]}
        GRID = lem_grid(batching=SIZES, fake={"token_s": [0.001, 0.002]})

        @pytest.mark.parametrize("point", GRID)
        def test_it(lem, point):
            assert lem().cycles and point["batch_size"] in (1, 2)
    """
    result = run(source, "--lem-json=r.json", "--lem-cycles=1")
    result.assert_outcomes(passed=4, deselected=2)
    found = [one.spec for one in report().experiments]
    assert [one["workload"]["batch_size"] for one in found] == [1, 1, 2, 2]
    assert [one["engine"]["token_s"] for one in found] == [0.001, 0.002] * 2


@pytest.mark.slow
def test_points_written_to_files_are_the_same_experiments(project, write):
    """`lem grid`, then collected again; `lem explain` tells what a file extends."""
    write(
        **{"sweep.lem": SWEEP.replace("vary:", "vary:\n  precision: [fp16, fp7]")},
        configs__named=NAMED,
        configs__common="prompts: ../texts.txt\nnum_input_prompts: 2\n",
    )
    (project.path / "texts.txt").write_text("one\ntwo\n")

    def lem(*arguments):
        return project.run(sys.executable, "-m", "pytest_lem.cli", *arguments)

    def identities(where):
        result = lem("explain", "--json", where)
        assert result.ret == 0
        told = map(json.loads, result.outlines)
        return {one["id"].partition("::")[2]: one["identity"] for one in told}

    done = lem("grid", "sweep.lem.yaml", "-o", "out")
    assert done.ret == 0
    assert done.outlines == ["3 experiments in out"]
    assert sum("left out: " in line for line in done.errlines) == 2
    assert identities("out") == identities("sweep.lem.yaml")
    lem("explain", "configs/named.yaml").stdout.fnmatch_lines(
        ["  requests * 2 * file configs/common.yaml"]
    )
