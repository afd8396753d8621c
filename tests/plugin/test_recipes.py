"""The recipes for tuning run as they stand, and only when they are named."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "benchmarks" / "recipes").glob("recipe_*.py"))
OPTIONS = (
    "--rootdir=.",
    "-p",
    "no:randomly",
    "--lem-windows=1",
    "--lem-warmup=off",
    "--lem-meter=none",
    "--lem-idle=off",
    "--lem-json=r.json",
)


def test_there_is_a_recipe_for_each_aim():
    """Throughput, latency and memory."""
    names = [path.stem for path in RECIPES]
    assert names == ["recipe_latency", "recipe_memory", "recipe_throughput"]


def test_a_recipe_is_run_only_by_its_name(pytester):
    """`pytest benchmarks` leaves it out."""
    found = pytester.runpytest_inprocess(
        ROOT / "benchmarks", "--collect-only", "-q", "--lem-backend=fake"
    )
    assert found.ret == 0
    found.stdout.fnmatch_lines(["*test_batch_size*"])
    found.stdout.no_fnmatch_line("*recipe*")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_passes_with_the_fake_engine(pytester, report, path):
    """Each of its experiments is measured; those for one engine are left out."""
    fast = ("--lem-set=fake.prefill_s=0", "--lem-set=fake.token_s=0.0001")
    run = pytester.runpytest_inprocess(path, "--lem-backend=fake", *fast, *OPTIONS)
    assert run.ret == 0
    assert len(report().experiments) == run.parseoutcomes()["passed"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "one"), [*zip(RECIPES, ("drafts", "chunks", "8"), strict=True)]
)
def test_a_recipe_passes_with_transformers(pytester, report, path, one):
    """An experiment of each on the real library, with the settings it is about."""
    pytest.importorskip("transformers")
    arguments = (path, "-k", f"[transformers-{one}]", "--lem-backend=transformers")
    run = pytester.runpytest_subprocess(*arguments, *OPTIONS)
    run.assert_outcomes(passed=1)
    (found,) = report().experiments
    assert found.spec["engine"]
    assert not {"not_as_requested", "attention_fallback"} & set(found.flags)
