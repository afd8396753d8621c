"""Which parameters of transformers a test shows at work on the real library."""

import ast
from pathlib import Path

from pytest_lem.engines.driven import TRANSFORMERS, drives
from pytest_lem.spec import catalogue
from pytest_lem.spec.parameters.about import HARNESS

HERE = Path(__file__).parent
GPU = "does nothing without a GPU"
SLOW = "means a compiler that a CPU waits minutes for"
HUB = "needs the kernels package and a download from the hub"
ELSEWHERE = {
    "transformers.allow_tf32": GPU,
    "transformers.alloc_conf": GPU,
    "transformers.compile_config.fullgraph": GPU,
    "transformers.compile_config.dynamic": GPU,
    "transformers.compile_config.backend": GPU,
    "transformers.compile_config.mode": GPU,
    "transformers.compile_config.options": GPU,
    "transformers.continuous_batching.use_cuda_graph": GPU,
    "transformers.continuous_batching.varlen_compile_config.mode": SLOW,
    "transformers.continuous_batching.varlen_compile_config.options": SLOW,
    "transformers.continuous_batching.cpu_offload_space": GPU,
    "transformers.continuous_batching.cpu_offload_space_safety_threshold": GPU,
    "transformers.continuous_batching.decode_compile_config.backend": GPU,
    "transformers.continuous_batching.decode_compile_config.dynamic": GPU,
    "transformers.continuous_batching.decode_compile_config.fullgraph": GPU,
    "transformers.continuous_batching.decode_compile_config.mode": GPU,
    "transformers.continuous_batching.decode_compile_config.options": GPU,
    "transformers.use_kernels": HUB,
    "transformers.kernel_config": HUB,
    "transformers.fusion_config": "only vision models have something to fuse",
    "transformers.use_mtp": "needs a model with heads of its own for it",
    "transformers.speculation_type": "needs a draft model made for it",
}
"""Parameters that no test on a CPU can show, and why."""


def proven():
    """The paths that `proves` marks name, in every test of this folder."""
    found = set()
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("proves"):
                found |= {ast.literal_eval(one) for one in node.args}
    return found


def parameters():
    """Every parameter that reaches an object of transformers or of torch."""
    universal = (
        row
        for row in catalogue.rows(catalogue.UNIVERSAL)
        if row.targets.get("transformers", HARNESS) != HARNESS
    )
    rows = (*universal, *catalogue.rows("transformers"))
    return {row.path for row in rows}


def test_nearly_every_parameter_is_shown_at_work():
    """At least 95 % of those that a CPU can show; the others have a reason."""
    paths, shown = parameters(), proven()
    possible = paths - {*ELSEWHERE}
    left = sorted(possible - shown)
    share = 1 - len(left) / len(possible)
    print(f"{len(possible - {*left})} of {len(possible)} parameters ({share:.1%})")
    print(*(f"not shown: {path}" for path in left), sep="\n")
    print(*(f"{path}: {why}" for path, why in ELSEWHERE.items()), sep="\n")
    assert share >= 0.95, left


def test_marks_and_reasons_name_parameters():
    """A name that is misspelt would count as nothing."""
    assert proven() <= parameters()
    assert {*ELSEWHERE} <= parameters()


def test_what_is_shown_is_driven():
    """No engine is said to obey what collection refuses."""
    for path in proven():
        assert drives(path, TRANSFORMERS, section="transformers"), path
