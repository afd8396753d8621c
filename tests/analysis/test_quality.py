"""Perplexity, and the windows in which a text is read."""

import math

import pytest

from pytest_lem.analysis.quality import perplexity, stretches


@pytest.mark.parametrize("tokens", [0, 1, 2, 5, 8, 9, 23])
@pytest.mark.parametrize(("window", "stride"), [(8, 8), (8, 3), (8, 1), (2, 1)])
def test_each_token_but_the_first_is_judged_once(tokens, window, stride):
    """By all tokens before it that its window has, the first that reaches it."""
    judged = {}
    for one in stretches(tokens, window=window, stride=stride):
        assert 0 <= one.start < one.end <= tokens
        assert one.end - one.start <= window
        for place in range(one.end - one.counted, one.end):
            assert place not in judged
            judged[place] = place - one.start
    assert sorted(judged) == list(range(1, tokens))
    for place, before in judged.items():
        assert before >= min(place, window - stride)


def test_perplexity_is_how_many_tokens_would_be_as_likely():
    """One for a model that is sure, the vocabulary for one that knows nothing."""
    assert perplexity([0.0] * 5) == 1.0
    assert perplexity([-math.log(256)] * 5) == pytest.approx(256)
    assert perplexity([math.log(0.5), math.log(0.125)]) == pytest.approx(4)


@pytest.mark.parametrize("told", [[], [-1.0, -math.inf], [-1e6]])
def test_what_has_no_number_has_no_perplexity(told):
    """Nothing was judged, or a token was held for impossible."""
    assert perplexity(told) is None
