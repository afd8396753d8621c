"""One sentence for every word that is no choice."""

from pytest_lem.spec.nearest import unknown


def test_a_likely_choice_is_suggested_with_its_section():
    """The suggestion can be typed as it stands."""
    assert unknown("key", "devise", ["dtype", "device"], within="transformers.") == (
        "key 'transformers.devise' is unknown; did you mean 'transformers.device'? "
        "(choices: device, dtype)"
    )


def test_a_word_near_no_choice_gets_the_list_alone():
    """Nothing is suggested that nobody can have meant."""
    assert unknown("backend", "zz", ["b", "a"]) == (
        "backend 'zz' is unknown (choices: a, b)"
    )


def test_an_argument_of_a_choice_is_shown_and_not_suggested():
    """Capitals do not matter, nor do arguments."""
    told = unknown("meter", "REPLAI", ["replay:FILE", "fake[:WATTS]"])
    assert told == (
        "meter 'REPLAI' is unknown; did you mean 'replay'? "
        "(choices: fake[:WATTS], replay:FILE)"
    )


def test_of_many_choices_the_likely_ones_are_listed():
    """A line stays a line."""
    told = unknown("key", "key7", [f"key{k}" for k in range(40)])
    assert "did you mean 'key7'" in told
    assert told.endswith(", and 28 more)")
