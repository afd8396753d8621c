"""Presets stand between defaults and everything that somebody typed."""

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.spec.experiment import identity, plan_experiment
from pytest_lem.spec.presets import DECODERS, PRESETS
from pytest_lem.spec.provenance import Layer
from pytest_lem.spec.workload import Workload


def planned(*layers, backend="transformers"):
    cli = Layer(origin="cli", values={"backend": backend})
    named = [Layer(origin=origin, values=values) for origin, values in layers]
    return plan_experiment("t", [*named, cli])


def decoder(experiment):
    return experiment.workload.decoder.model_dump()


def test_default_then_preset_then_ini_then_marker_then_command_line():
    """Whoever names the preset, its values lose to any that are typed."""
    found = planned(
        ("default", {"seed": 42}),
        ("ini", {"decoder": {"top_p": 0.5}}),
        ("marker", {"decoder": {"repetition_penalty": 1.5}}),
        ("cli", {"preset": ["creative"], "decoder": {"repetition_penalty": 2.0}}),
    )
    assert decoder(found) == {
        "do_sample": True,
        "temperature": 0.8,
        "top_p": 0.5,
        "repetition_penalty": 2.0,
    }
    origins = found.provenance
    assert origins["decoder.temperature"] == "preset"
    assert origins["decoder.top_p"] == "ini"
    assert origins["decoder.repetition_penalty"] == "cli"


def test_a_preset_is_the_same_experiment_as_its_values():
    """Identity has the values, not the name."""
    named = planned(("marker", {"preset": "factual"}))
    spoken = planned(("marker", {"decoder": DECODERS["factual"]}))
    names = {identity(one.spec, one.workload, {}, None) for one in (named, spoken)}
    assert len(names) == 1


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoders_preset_may_be_named_in_the_decoder(name):
    """In the marker, and in a workload that the test's body makes."""
    marked = planned(("marker", {"decoder": {"preset": name, "min_p": 0.1}}))
    assert decoder(marked) == {**DECODERS[name], "min_p": 0.1}
    late = Workload(decoder={"preset": name, "min_p": 0.1})
    assert late.decoder == marked.workload.decoder


def test_of_several_presets_those_for_the_backend_count():
    """One list serves a run over several backends."""
    names = ["vllm-throughput", "transformers-compatible"]
    layer = ("cli", {"preset": names})
    assert planned(layer).spec.engine == {"attn_implementation": "eager"}
    assert planned(layer, backend="vllm").spec.engine["max_num_seqs"] == 512


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("creativ", "preset 'creativ' is unknown; did you mean 'creative'?"),
        ("vllm-throughput", "preset vllm-throughput is for vllm, not for transformers"),
        (5, "preset=5 is neither a name nor a list of names"),
    ],
)
def test_a_preset_that_cannot_be_is_told(names, told):
    """Unknown, for another backend, or no name at all."""
    with pytest.raises(ConfigError) as caught:
        planned(("marker", {"preset": names}))
    assert caught.value.message.startswith(told)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_for_its_backend(name):
    """Each of its keys is a parameter, with a value in range."""
    preset = PRESETS[name]
    beside = {"transformers": {"assistant_model": "synthetic:llama-tiny"}}
    found = planned(
        ("marker", {**beside, "preset": name}), backend=preset.backend or "transformers"
    )
    assert "preset" in found.provenance.values()
    assert found.presets == (name,)
    for alias in preset.aliases:
        assert planned(("marker", {**beside, "preset": alias})).spec == found.spec
