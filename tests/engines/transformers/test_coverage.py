"""Which parameters of transformers a test shows at work on the real library."""

from pathlib import Path

from pytest_lem.engines.driven import TRANSFORMERS
from tests.engines.coverage import Coverage

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


COVERAGE = Coverage(
    backend="transformers",
    folder=Path(__file__).parent,
    driven=TRANSFORMERS,
    elsewhere=ELSEWHERE,
)


def test_nearly_every_parameter_is_shown_at_work():
    """At least 95 % of those that a CPU can show; the others have a reason."""
    COVERAGE.check_share(0.95)


def test_marks_and_reasons_name_parameters():
    """A name that is misspelt would count as nothing."""
    COVERAGE.check_names()


def test_what_is_shown_is_driven():
    """No engine is said to obey what collection refuses."""
    COVERAGE.check_driven()
