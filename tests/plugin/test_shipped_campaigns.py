"""The campaigns that ship collect as they stand, and only when they are named."""

from pathlib import Path

import pytest

from pytest_lem.report.audit import lines

ROOT = Path(__file__).parents[2]
CAMPAIGNS = ROOT / "benchmarks" / "campaigns"
OPTIONS = (
    *("-p", "no:randomly", "-c", ROOT / "pyproject.toml", "--rootdir=."),
    *("--lem-missing=skip", "--lem-config-anywhere"),
)


def test_there_is_a_comparison_a_sweep_and_an_audit_of_each_engine():
    """Each a file that pytest collects."""
    assert sorted(path.name for path in CAMPAIGNS.glob("*.lem.yaml")) == [
        "audit_tensorrt.lem.yaml",
        "audit_transformers.lem.yaml",
        "audit_vllm.lem.yaml",
        "cross_backend.lem.yaml",
        "full_sweep.lem.yaml",
    ]


@pytest.mark.parametrize("backend", ["transformers", "vllm", "tensorrt"])
def test_the_audit_is_made_of_the_catalogue(backend):
    """Written anew by `lem params --backend NAME --audit`."""
    path = CAMPAIGNS / f"audit_{backend}.lem.yaml"
    assert path.read_text() == "".join(f"{line}\n" for line in lines(backend))


def test_campaigns_are_planned_as_they_stand(pytester):
    """Every point of comparison and sweep can be; audits leave out what cannot."""
    names = ("cross_backend", "full_sweep")
    files = [CAMPAIGNS / f"{name}.lem.yaml" for name in names]
    result = pytester.runpytest_inprocess(*OPTIONS, "--lem-plan", *files)
    assert result.ret == 0
    plan = next(line for line in result.outlines if line.startswith("lem plan: "))
    assert plan.startswith("lem plan: 16 experiments, 48 cycles")


@pytest.mark.slow
def test_the_comparison_runs_on_the_embedded_model(pytester):
    """With the engines that are here."""
    result = pytester.runpytest_subprocess(
        *(*OPTIONS, "--lem-cycles=1", "--lem-windows=1", "--lem-warmup=fixed:1"),
        *("-v", "--lem-idle=off", CAMPAIGNS / "cross_backend.lem.yaml"),
    )
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["*backend=transformers-batching.batch_size=8 PASSED *"]
    )
