"""The chain: measured, then the architecture's form, then parameters."""

import pytest

from pytest_lem.analysis.architecture import Architecture, from_config
from pytest_lem.analysis.estimate import Count, Known, estimate, needed
from pytest_lem.analysis.flops import Flops, Work, by_parameters, closed_form

SHAPE = Architecture(
    layers=2,
    hidden_size=8,
    attention_heads=2,
    key_value_heads=1,
    head_dim=4,
    intermediate_size=16,
    gated_mlp=True,
    vocab_size=50,
    tied_embeddings=True,
)
WORK = [Work(2, 0, 5, 3)]
CHECKED = {**SHAPE.to_json(), "closed_form": "checked", "parameters": 1000}
COUNT = Count(flops=Flops(prefill=7, decode=3), work=WORK, kv_cache_mb=None)
FORM = closed_form(SHAPE, WORK)
PLAIN = by_parameters(1000, WORK)
EXPERTS = {"no_closed_form": "mixture_of_experts", "parameters": 1000}
CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 50,
    "tie_word_embeddings": True,
}


def known(**changed):
    """A window of which everything is known, but for what the test changes."""
    values = {
        "facts": CHECKED,
        "config": None,
        "work": WORK,
        "told": True,
        "count": COUNT,
    }
    return Known(**{**values, **changed})


@pytest.mark.parametrize(
    ("mode", "method", "flops", "confidence"),
    [
        ("measured", "measured", COUNT.flops, "high"),
        ("auto", "architecture", FORM, "high"),
        ("architecture", "architecture", FORM, "high"),
        ("parameters", "parameters", PLAIN, "low"),
    ],
)
def test_each_mode_begins_its_chain_where_it_says(mode, method, flops, confidence):
    """Automatic is the closed form; nothing stands against the first that can tell."""
    found = estimate(mode, known())
    assert (found.method, found.flops) == (method, flops)
    assert (found.confidence, found.reason) == (confidence, None)


@pytest.mark.parametrize(
    ("changed", "method", "confidence", "reason"),
    [
        (
            {"count": None, "uncounted": "timeout"},
            "architecture",
            "high",
            "measured: timeout",
        ),
        (
            {"count": None, "uncounted": "out_of_memory", "facts": EXPERTS},
            "parameters",
            "low",
            "measured: out_of_memory; architecture: mixture_of_experts",
        ),
        (
            {"work": [Work(1, 0, 5, 3)]},
            "architecture",
            "high",
            "measured: other_work_than_counted",
        ),
        (
            {"count": None, "facts": {}},
            None,
            None,
            (
                "measured: not_asked_for; architecture: unknown_architecture; "
                "parameters: unknown_parameters"
            ),
        ),
    ],
)
def test_what_fails_falls_to_the_next_by_name(changed, method, confidence, reason):
    """Down to nothing at all, with every reason on the way."""
    found = estimate("measured", known(**changed))
    assert (found.method, found.confidence) == (method, confidence)
    assert found.reason == reason
    assert (found.flops is None) is (method is None)


@pytest.mark.parametrize(
    ("changed", "doubt"),
    [
        ({"told": False}, "work_not_told"),
        ({"facts": {**CHECKED, "closed_form": "unchecked"}}, "shape_not_checked"),
        ({"facts": {**CHECKED, "sliding_window": 6}}, "sliding_window"),
        ({"facts": {"parameters": 1}, "config": CONFIG}, "shape_not_checked"),
    ],
)
def test_a_doubt_lowers_the_confidence_in_the_form(changed, doubt):
    """The number stands, and so does what speaks against it."""
    found = estimate("auto", known(**changed))
    assert (found.method, found.confidence, found.reason) == (
        "architecture",
        "medium",
        doubt,
    )


def test_a_window_as_long_as_the_context_is_no_doubt():
    """Seven tokens are attended to at the most."""
    facts = {**CHECKED, "sliding_window": 7}
    assert estimate("auto", known(facts=facts)).confidence == "high"


def test_nothing_is_counted_when_it_is_off():
    """And that is the reason."""
    found = estimate("off", known())
    assert (found.flops, found.method, found.reason) == (None, None, "off")


def test_an_engine_that_rules_the_form_out_is_believed():
    """Not the config file, which knows nothing of an adapter."""
    facts = {"no_closed_form": "weights_differ", "parameters": 1000}
    assert estimate("auto", known(facts=facts, config=CONFIG)).method == "parameters"


def test_what_requests_need_has_no_padding():
    """By the form where there is one, by parameters else, or not at all."""
    alone = [Work(1, 0, 3, 2)]
    assert needed(known(), alone) == closed_form(SHAPE, alone)
    assert needed(known(facts=EXPERTS), alone) == by_parameters(1000, alone)
    assert needed(known(facts={}), alone) is None
    shape = from_config(CONFIG)
    assert needed(known(facts={}, config=CONFIG), alone) == closed_form(shape, alone)
