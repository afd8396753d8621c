"""`--lem-quality`, from the command line to the record."""

import hashlib
import json
import math

import pytest
from typer.testing import CliRunner

from pytest_lem.analysis.quality import stretches
from pytest_lem.cli import app
from pytest_lem.workload.held_out import held_out
from pytest_lem.workload.models import resolve

SOURCE = """
import pytest

@pytest.mark.lem(batch_size=2)
def test_it(lem):
    lem()
"""
ASKED = ("--lem-quality=perplexity", "--lem-json=r.json")


def test_a_text_and_the_outputs_are_judged_after_the_windows(run, report, project):
    """The record has values, hashes, tokens and windows; random weights are flagged."""
    text = "So it goes. " * 40
    (project.path / "text.txt").write_text(text)
    more = ("--lem-quality-text=text.txt", "-o", "lem_quality_window=64")
    result = run(SOURCE, *ASKED, *more, "-o", "lem_quality_stride=32")
    result.assert_outcomes(passed=1)
    (one,) = report().experiments
    assert "synthetic_perplexity" in one.flags
    assert one.quality.synthetic is True
    told = one.quality.perplexity
    assert told.value == pytest.approx(256)
    assert (told.text, told.tokens) == ("text.txt", len(text) - 1)
    assert (told.window_tokens, told.stride_tokens) == (64, 32)
    assert told.sha256 == hashlib.sha256(text.encode()).hexdigest()
    made = one.quality.output_perplexity
    assert made.value == pytest.approx(256)
    assert (made.requests, made.tokens, made.text) == (2, 8, None)
    for name in ("perplexity", "output_perplexity"):
        assert one.summary[name].n == 2
        assert f"quality.{name}" not in one.nulls


def test_nobody_asked_says_why_there_is_none(run, report):
    """In the record and in its summary."""
    run(SOURCE, "--lem-json=r.json").assert_outcomes(passed=1)
    (one,) = report().experiments
    assert one.quality.model_dump() == {
        "perplexity": None,
        "output_perplexity": None,
        "synthetic": None,
        "scores": {},
    }
    for name in ("perplexity", "output_perplexity"):
        assert one.nulls[f"quality.{name}"] == "not_asked_for"
        assert one.nulls[f"summary.{name}"] == "not_asked_for"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ("fake={'fail_at': 'tell', 'fail_kind': 'out_of_memory'}", "out_of_memory"),
        ("fake={'die_at': 'tell'}", "worker_died"),
    ],
)
def test_an_engine_that_fails_at_it_keeps_its_windows(run, report, changes, reason):
    """The reason is the failure's kind, and the next cycle has a fresh engine."""
    source = SOURCE.replace("batch_size=2", f"batch_size=2, {changes}")
    run(source, *ASKED).assert_outcomes(passed=1)
    (one,) = report().experiments
    assert [cycle.status for cycle in one.cycles] == ["complete"] * 2
    assert "quality_failed" in one.flags
    assert one.nulls["quality.perplexity"] == reason
    assert one.summary["output_throughput_tps"].n == 2


def test_a_loop_of_the_tests_own_has_the_texts_perplexity_alone(run, report):
    """Nobody knows its prompts afterwards."""
    source = """
    import pytest

    @pytest.mark.lem
    def test_it(lem, engine):
        with lem.window() as w:
            w.count(engine.generate(["one two"], output_tokens=3))
    """
    run(source, *ASKED).assert_outcomes(passed=1)
    (one,) = report().experiments
    assert one.quality.perplexity.text == "lem-mill"
    assert one.nulls["quality.output_perplexity"] == "custom_loop"


def test_a_budget_of_quality_stands_in_the_marker(run):
    """Random weights are neither within it nor beyond."""
    source = SOURCE.replace("batch_size=2", "batch_size=2, max_perplexity=100")
    run(source, "--lem-quality=perplexity").assert_outcomes(passed=1)
    result = run(source, "--lem-quality=perplexity", "--lem-strict")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*synthetic_perplexity*"])


TWICE = """
import pytest

@pytest.mark.lem(batch_size=2)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("streaming_warmup_requests", [0, 1])
def test_it(lem, seed, streaming_warmup_requests):
    lem()
"""


def test_answers_to_equal_prompts_are_compared_after_the_session(run, project):
    """Of each two experiments that have some, also where their folder has moved."""
    kept = ("--lem-save-outputs=said", "--lem-cycles=1")
    run(TWICE, *ASKED, *kept).assert_outcomes(passed=4)
    (project.path / "moved").mkdir()
    for name in ("said", "r.json"):
        (project.path / name).rename(project.path / "moved" / name)
    path = project.path / "moved" / "r.json"

    def compared(*arguments):
        told = CliRunner().invoke(app, ["quality", "agreement", *map(str, arguments)])
        return told, [json.loads(row) for row in told.stdout.splitlines()]

    _, rows = compared(path, "--json")
    assert [one["requests"] for one in rows] == [2, 2]
    for one in rows:
        assert (one["identical"], one["match_rate"]) == (2, 1.0)
        assert (one["compared_tokens"], one["log_probability_distance"]) == (8, 0.0)
    told, rows = compared(path, path, "--json")
    assert len(rows) == 8
    (project.path / "moved" / "said").rename(project.path / "gone")
    told, _ = compared(path)
    assert told.exit_code == 2
    assert "cannot be read" in told.stderr


def test_a_report_without_answers_says_how_to_have_them(run, project):
    """In one line."""
    run(SOURCE, "--lem-json=r.json").assert_outcomes(passed=1)
    path = str(project.path / "r.json")
    told = CliRunner().invoke(app, ["quality", "agreement", path])
    assert told.exit_code == 2
    assert "measure them with --lem-save-outputs" in told.stderr


def test_scores_found_elsewhere_are_joined_to_the_report(run, report, project):
    """By the id of an experiment; those that nobody ran are named at the end."""
    rows = "experiment,bleu,accuracy\ntest_it.py::test_it[fake],31.5,\nold,1,1\n"
    (project.path / "scores.csv").write_text(rows)
    result = run(SOURCE, "--lem-quality-file=scores.csv", "--lem-json=r.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*--lem-quality-file: no experiment 'old'*"])
    (one,) = report().experiments
    assert one.quality.scores["bleu"].value == 31.5
    assert one.quality.scores["bleu"].better == "higher"
    assert one.nulls["quality.scores.accuracy"] == "empty_in_file"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--lem-quality=bleu"], "'bleu', which is none of perplexity"),
        (["--lem-quality-text=x.txt"], "say --lem-quality=perplexity with it"),
        (["--lem-quality-file=one.txt"], "names no column 'experiment'"),
        ([ASKED[0], "--lem-quality-text=x.txt"], "file x.txt cannot be read"),
        ([ASKED[0], "--lem-quality-text=one.txt"], "has no two words"),
        ([ASKED[0], "-o", "lem_quality_stride=600"], "a stride of 600 tokens leaves"),
    ],
)
def test_what_cannot_be_is_refused_at_once(run, errors_of, project, arguments, told):
    """In one line that names the option."""
    (project.path / "one.txt").write_text("word")
    (line,) = errors_of(run(SOURCE, *arguments))
    assert line.startswith("--lem-quality")
    assert told in line


@pytest.mark.slow
def test_perplexity_is_the_librarys_own(pytester, report, tmp_path, monkeypatch):
    """Of the text in its windows, and of the outputs after their prompts."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("LEM_CACHE_DIR", str(tmp_path))
    pytester.makepyfile(test_it=SOURCE)
    options = ("--lem-backend=transformers", "--lem-model=synthetic:llama-tiny")
    quick = ("--lem-cycles=1", "--lem-windows=1", "--lem-idle=off", "--lem-warmup=off")
    size = ("--lem-set=input_tokens=9", "--lem-set=output_tokens=30")
    device = (
        "--lem-set=transformers.device=cpu",
        "--lem-meter=none",
        "-p",
        "no:randomly",
    )
    asked = (*options, *quick, *size, *device, *ASKED)
    pytester.runpytest_subprocess(*asked).assert_outcomes(passed=1)
    (one,) = report().experiments

    model = resolve("synthetic:llama-tiny", backend="transformers", cache_dir=None)
    bare = transformers.AutoModelForCausalLM.from_pretrained(model.path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.path)
    ids = tokenizer(held_out(None).text)["input_ids"]
    losses = []
    for part in stretches(len(ids), window=512, stride=256):
        row = torch.tensor([ids[part.start : part.end]])
        labels = row.clone()
        labels[:, : -part.counted] = -100
        with torch.inference_mode():
            loss = bare(row, labels=labels).loss.item()
        losses += [loss] * part.counted
    assert len(losses) == one.quality.perplexity.tokens == len(ids) - 1
    expected = math.exp(sum(losses) / len(losses))
    assert one.quality.perplexity.value == pytest.approx(expected, rel=1e-4)
    assert one.quality.output_perplexity.tokens == 60
