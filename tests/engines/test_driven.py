"""A parameter that an engine does not obey yet is refused by name."""

from pytest_lem.engines.driven import drives, undriven


def lines(engine, driven, **spec):
    return undriven({"engine": engine, **spec}, driven, section="vllm")


def test_what_is_not_driven_is_named_with_its_section():
    """Unset ones are nothing, driven ones pass."""
    engine = {"a": 1, "b": None, "c": {"d": 1}, "e": 2}
    assert lines(engine, {"a"}) == [
        "vllm.c is not driven yet by this version",
        "vllm.e is not driven yet by this version",
    ]


def test_a_section_may_be_driven_in_part():
    """Then each of its keys is looked at; a mapping that is driven passes whole."""
    engine = {"c": {"d": {"x": 1}, "f": 2}}
    assert lines(engine, {"c.d"}) == ["vllm.c.f is not driven yet by this version"]
    assert lines(engine, {"c"}) == []


def test_an_adapter_is_driven_or_refused_too():
    """It is no key of the section."""
    assert lines({}, set(), adapter=None) == []
    assert lines({}, set(), adapter="x") == [
        "adapter is not driven yet by this version"
    ]
    assert lines({}, {"adapter"}, adapter="x") == []


def test_a_parameter_is_driven_by_its_path_wherever_it_nests():
    """Universal ones always are, but for the adapter."""
    driven = {"a", "c.d"}
    obeyed = [
        p
        for p in ("vllm.a", "vllm.b", "vllm.c.d", "vllm.c.e", "seed", "adapter")
        if drives(p, driven, section="vllm")
    ]
    assert obeyed == ["vllm.a", "vllm.c.d", "seed"]
