"""Which parameters of vLLM a test shows on the real library, on a CPU.

Shown is what changes the tokens or the workers of a real start, or lands where it works
in the configuration that the real library resolves.
"""

import ast
from pathlib import Path

from pytest_lem.engines.driven import VLLM
from tests.engines.coverage import Coverage

GPU = "needs a GPU: a CPU refuses or ignores it"
FILES = "needs a checkpoint that was made for it"
EXPERTS = "needs a mixture of experts on several GPUs"
PROCESSES = "needs several processes that each hold a copy; not driven yet"
ELSEWHERE = {
    "decoder.no_repeat_ngram_size": "vLLM has none; it is refused",
    "vllm.all2all_backend": EXPERTS,
    "vllm.cudagraph_capture_sizes": GPU,
    "vllm.data_parallel_size": PROCESSES,
    "vllm.decode_context_parallel_size": GPU,
    "vllm.enable_dbo": EXPERTS,
    "vllm.enable_expert_parallel": EXPERTS,
    "vllm.enable_sleep_mode": GPU,
    "vllm.max_cudagraph_capture_size": GPU,
    "vllm.numa_bind": GPU,
    "vllm.numa_bind_cpus": GPU,
    "vllm.numa_bind_nodes": GPU,
    "vllm.prefill_context_parallel_size": GPU,
    "vllm.quantization_config": FILES,
}
"""Parameters that no test on a CPU can show, and why."""


def cases(name, table):
    """The paths of a table: its first column, or that and the third one."""
    if name not in ("CASES", "NESTED"):
        return
    for row in table.elts:
        first = ast.literal_eval(row.elts[0])
        inner = f".{ast.literal_eval(row.elts[2])}" if name == "NESTED" else ""
        yield ".".join(f"vllm.{first}{inner}".split(".")[:3])


COVERAGE = Coverage(
    backend="vllm",
    folder=Path(__file__).parent,
    driven=VLLM,
    elsewhere=ELSEWHERE,
    cases=cases,
)


def test_nearly_every_parameter_reaches_the_real_vllm():
    """At least 90 % of those that a CPU can show; the others have a reason."""
    COVERAGE.check_share(0.90)


def test_marks_and_reasons_name_parameters():
    """A name that is misspelt would count as nothing."""
    COVERAGE.check_names()


def test_what_is_shown_is_driven():
    """No engine is said to obey what collection refuses."""
    COVERAGE.check_driven()
