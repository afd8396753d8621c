"""Prompts that are asked again of an engine that caches their beginnings."""

import pytest

from pytest_lem.front.conditions import caching_varied
from pytest_lem.measure.repeating import REPEATED
from pytest_lem.meters.fake import FakeMeter
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.workload import Workload

TEXTS = ("one text", "and another", "and a third")


@pytest.fixture
def flags_of(make_lab, experiment, measure):
    """The flags of two cycles of one window each."""

    def flags_of(caching, *, prompts=TEXTS, requests=1, varied=(), windows=1):
        lab = make_lab(FakeMeter(50.0), caching_varied=varied)
        one = experiment(
            script={"token_s": 0.0, "prefix_caching": caching},
            effort={"windows": windows},
            prompts=prompts,
            requests=requests,
        )
        return [measure(lab, one, k).flags for k in range(2)]

    return flags_of


@pytest.mark.parametrize(
    ("caching", "told"), [("on", [False, True]), ("emptied", [False] * 2)]
)
def test_texts_asked_in_every_cycle_are_flagged_where_they_stay_cached(
    flags_of, caching, told
):
    """From the second cycle on, which asks the texts of the first."""
    assert [REPEATED in flags for flags in flags_of(caching)] == told


def test_windows_that_begin_the_texts_again_are_flagged_at_once(flags_of):
    """Three texts, three in each window."""
    first, _ = flags_of("on", requests=3, windows=2)
    assert REPEATED in first


def test_prompts_made_for_each_request_never_repeat(flags_of):
    """Their nonce has the cycle in it."""
    assert not any(REPEATED in flags for flags in flags_of("on", prompts=None))


def test_where_caching_is_what_is_compared_nothing_is_flagged(flags_of):
    """The backends whose experiments differ in it are left alone."""
    flags = flags_of("on", varied={"fake"})
    assert not any(REPEATED in one for one in flags)


@pytest.mark.parametrize(
    ("settings", "varied"),
    [
        ([True, False], {"vllm"}),
        ([None, True], {"vllm"}),
        ([True, True], set()),
        ([], set()),
    ],
)
def test_caching_is_varied_where_experiments_differ_in_it(settings, varied):
    """Of one backend; unset is a value too."""
    experiments = [
        Experiment(
            id=str(k),
            spec=EngineSpec(
                backend="vllm",
                engine={} if value is None else {"enable_prefix_caching": value},
            ),
            workload=Workload(),
            effort=Effort(),
        )
        for k, value in enumerate(settings)
    ]
    assert caching_varied(experiments) == varied
