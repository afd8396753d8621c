"""Every parameter is described, checked by its model, and reaches the spec as JSON."""

import json
import re

import jsonschema
import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.spec import catalogue
from pytest_lem.spec.catalogue import BACKENDS, UNIVERSAL
from pytest_lem.spec.experiment import plan_experiment
from pytest_lem.spec.parameters.about import effects
from pytest_lem.spec.provenance import Layer

ROWS = [row for of in (UNIVERSAL, *BACKENDS) for row in catalogue.rows(of)]
OURS = {"pytest-lem", "none", "set_seed", "PeftModel", "LoRARequest", "environment"}
BOUND = re.compile(r"(>=|<=|>|<) (-?[\d.]+)")


def nested(path, value):
    """`a.b` and a value as `{"a": {"b": value}}`."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def planned(path, value, backend=None):
    section = path.partition(".")[0]
    backend = backend or (section if section in BACKENDS else "transformers")
    values = {"backend": backend, **nested(path, value)}
    return plan_experiment("t", [Layer(origin="marker", values=values)])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_every_parameter_says_what_it_does_where_it_goes_and_what_it_costs(row):
    """No field is declared without its meaning, its effect and a real target."""
    assert re.fullmatch(r"[A-Z].+\.", row.meaning)
    assert {"energy", "throughput", "latency", "basis"} <= row.effect.keys()
    assert row.effect["basis"] in ("expected", "measured")
    objects = {name for backend in BACKENDS for name in catalogue.native(backend)}
    objects |= OURS | {"torch.backends.cuda.matmul", "torch.set_num_threads"}
    for target in row.targets.values():
        assert target in OURS or target.rpartition(".")[0] in objects


@pytest.mark.parametrize(
    ("path", "beyond"),
    [
        (row.path, float(bound) + (0 if len(sign) == 1 else {">": -1, "<": 1}[sign[0]]))
        for row in ROWS
        for sign, bound in BOUND.findall(row.range)
        if " or " not in row.range
    ],
)
def test_a_number_out_of_range_is_refused_with_its_path(path, beyond):
    """Path, value and range are in the line, before anything is loaded."""
    whole = int(beyond) if beyond == int(beyond) else beyond
    with pytest.raises(
        ConfigError, match=rf"^{re.escape(path)}={re.escape(str(whole))}"
    ):
        planned(path, whole)


@pytest.mark.parametrize(
    "path", [row.path for row in ROWS if row.type == "choice"], ids=str
)
def test_a_choice_that_there_is_not_is_refused_with_the_choices(path):
    """A word, or a number where numbers are the choices."""
    with pytest.raises(ConfigError, match=rf"^{re.escape(path)}='nonsense': .* be "):
        planned(path, "nonsense")


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.type == "whole number"], ids=lambda row: row.path
)
def test_text_is_no_number(row):
    """Nothing is guessed from a value of another type."""
    with pytest.raises(ConfigError, match=rf"{re.escape(row.path)}='7'"):
        planned(row.path, "7")


def test_a_section_reaches_the_engine_as_plain_json():
    """Numbers as keys become text, what is unset is left out."""
    spec = planned("vllm.logit_bias", {5: 1.5}).spec
    assert json.loads(json.dumps(spec.engine)) == spec.engine
    assert spec.engine == {"logit_bias": {"5": 1.5}, "max_num_seqs": 1}
    placed = {"device_map": "auto", "max_memory": {0: "1GiB"}, "use_cache": None}
    spec = planned("transformers", placed).spec
    assert spec.engine == {"device_map": "auto", "max_memory": {"0": "1GiB"}}


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("transformers.max_num_seqs", 4, "belongs elsewhere: vllm.max_num_seqs"),
        ("transformers.temperature", 1.0, "belongs elsewhere: decoder.temperature"),
        ("attn_implementation", "sdpa", "elsewhere: transformers.attn_implementation"),
        ("vllm.swap_space", 4, "key 'vllm.swap_space' is gone: vLLM 0.18 removed it"),
        ("transformers.use_bettertransformer", True, "attn_implementation='sdpa'"),
        ("sharding", {"num_shards": 2}, "vllm.tensor_parallel_size"),
        ("transformers.max_memory", {"0": "1GiB"}, "max_memory needs device_map"),
        ("transformers.num_assistant_tokens", 3, "needs assistant_model"),
        (
            "transformers.extra",
            {"load": {"gguf_file": "x"}},
            "extra.load names 'gguf_file', which is a parameter: set transformers.gguf",
        ),
        ("vllm.extra", {"engine": {"dtype": "auto"}}, "set precision"),
        ("vllm.extra", {"sampling": {"temperature": 1}}, "set decoder."),
        (
            "transformers.quantization_config",
            {"load_in_4bit": True, "load_in_8bit": True},
            "exclude each other",
        ),
        (
            "transformers.quantization_config",
            {"bnb_4bit_quant_type": "nf4"},
            "bnb_4bit_quant_type needs load_in_4bit",
        ),
        (
            "transformers.torch_compile",
            "fast",
            "valid boolean, or: Input should be 'default'",
        ),
    ],
)
def test_what_cannot_be_is_told_with_its_place_or_its_successor(path, value, told):
    """Another engine's key, a key that is gone, values that exclude each other."""
    with pytest.raises(ConfigError) as caught:
        planned(path, value)
    assert told in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"torch_compile": True, "quantization_config": {"load_in_4bit": True}}, 1),
        ({"torch_compile": "max-autotune", "cache_implementation": "static"}, 1),
        ({"torch_compile": "max-autotune", "cache_implementation": "dynamic"}, 0),
        ({"torch_compile": False, "quantization_config": {"load_in_4bit": True}}, 0),
    ],
)
def test_what_is_seldom_meant_is_noted_and_not_refused(given, told):
    """Compiling together with what breaks it, or does it twice."""
    notes = planned("transformers", given).notes
    assert len(notes) == told
    assert all(one.path == "transformers.torch_compile" for one in notes)


def test_the_json_schema_says_what_the_model_says():
    """Other tools refuse what we refuse."""
    schema = catalogue.schema("vllm")
    jsonschema.validate({"max_num_seqs": 4}, schema)
    for wrong in ({"max_num_seqs": 0}, {"max_num_seq": 4}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


@pytest.mark.parametrize("text", ["E", "X+", "E!", "measurd"])
def test_an_effect_is_a_quantity_and_a_sign(text):
    """A slip in a declaration is found when the module is imported."""
    with pytest.raises(ValueError, match="is no effect"):
        effects(text)
