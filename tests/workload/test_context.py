"""Requests that are too long are refused before anything is loaded."""

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.spec.workload import Workload
from pytest_lem.workload.context import check_context

WIDE = "lognormal:mean=50,std=200"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"input_tokens": 60, "output_tokens": 50},
            "input_tokens=60 and output_tokens=50 make 110; vllm.max_model_len holds",
        ),
        (
            {"input_tokens": 60, "output_lengths": "uniform:low=1,high=41"},
            "input_tokens=60 and output_lengths up to 41 make 101;",
        ),
        (
            {"input_lengths": "fixed:60", "output_lengths": WIDE, "requests": 20},
            "request 2 has 60 tokens in and 183 out, which make 243;",
        ),
    ],
)
def test_a_request_that_does_not_fit_is_told_with_its_lengths(values, line):
    """By the range, or by the first that was drawn where there is none."""
    with pytest.raises(ConfigError, match=line):
        check_context(100, "vllm.max_model_len", Workload(**values))
    check_context(None, "vllm.max_model_len", Workload(**values))


def test_lengths_without_a_limit_may_all_be_short_enough():
    """What is not drawn is not asked for."""
    workload = Workload(input_tokens=10, output_lengths=WIDE, requests=5)
    check_context(4096, "the model's context", workload)
