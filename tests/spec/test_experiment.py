"""From layers to an experiment, all problems at once; and what its identity is."""

import json
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.errors import ConfigError
from pytest_lem.spec.effort import Effort, Warmup
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import MARKER_KEYS, identity, plan_experiment
from pytest_lem.spec.provenance import Layer
from pytest_lem.spec.workload import Workload
from pytest_lem.workload.models import resolve

FINGERPRINT = {"synthetic": "llama-tiny", "seed": 0}


def planned(**values):
    values = {"backend": "fake", **values}
    return plan_experiment("t.py::t", [Layer(origin="marker", values=values)])


def problems(**values):
    with pytest.raises(ConfigError) as caught:
        planned(**values)
    return caught.value.message.splitlines()


def test_layers_become_spec_workload_and_effort():
    """Each key goes where it belongs, with its origin."""
    experiment = plan_experiment(
        "a.py::test[8]",
        [
            Layer(origin="default", values={"cycles": 3, "warmup": Warmup()}),
            Layer(origin="marker", values={"model": "o/m", "transformers": {}}),
            Layer(origin="parametrize", values={"batch_size": 8}),
            Layer(origin="cli", values={"backend": "transformers", "cycles": 5}),
            Layer(origin="cli", values={"transformers": {"device": "cpu"}}),
        ],
    )
    assert experiment.id == "a.py::test[8]"
    assert experiment.spec == EngineSpec(
        backend="transformers", model="o/m", engine={"device": "cpu"}
    )
    assert experiment.workload == Workload(batch_size=8)
    assert experiment.effort == Effort(cycles=5)
    assert experiment.provenance == {
        "cycles": "cli",
        "warmup": "default",
        "model": "marker",
        "batch_size": "parametrize",
        "backend": "cli",
        "transformers.device": "cli",
    }


def test_a_warmup_may_be_typed():
    """The marker takes the same text as the option."""
    assert planned(warmup="fixed:2").effort.warmup == Warmup.parse("fixed:2")


def test_only_the_backends_own_section_enters_its_spec():
    """Settings of one engine are nothing to another."""
    spec = planned(fake={"token_s": 1}, transformers={"device": "cpu"}).spec
    assert spec.engine == {"token_s": 1}


def test_all_problems_are_told_at_once_one_line_each():
    """A wrong marker is put right in one go."""
    told = problems(
        batch_sise=3,
        output_tokens=0,
        precision="fp8",
        transformers={"devise": "cpu"},
        warmup="long",
        cycles=0,
    )
    assert len(told) == 6
    text = "\n".join(told)
    assert "key 'batch_sise' is unknown; did you mean 'batch_size'?" in text
    devise = "key 'transformers.devise' is unknown; did you mean 'transformers.device'?"
    assert devise in text
    assert "output_tokens=0: Input should be greater than or equal to 1" in told
    assert "precision='fp8': Input should be 'float32', 'float16' or" in text
    assert "warmup='long' is none of" in text
    assert "cycles=0 is not between 1 and 20" in told


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"outputtokens": 5},
            "key 'outputtokens' is unknown; did you mean 'output_tokens'?",
        ),
        ({"transformers": 5}, "transformers=5 is no mapping of parameters"),
        ({"transformers": None}, "transformers=None is no mapping of parameters"),
        (
            {"output_tokens": 4, "min_output_tokens": 5},
            "min_output_tokens=5 is above output_tokens=4",
        ),
        ({"prompts": [" "]}, "prompts is a list without any text"),
        ({"backend": None}, "backend=None: Input should be a valid string"),
        (
            {"transformers": {"batching": {"strategy": "dynamic"}}},
            "strategy=dynamic needs max_tokens_per_batch",
        ),
        (
            {"transformers": {"batching": {"max_tokens_per_batch": 9}}},
            "max_tokens_per_batch needs strategy dynamic or sorted_dynamic",
        ),
        (
            {"transformers": {"continuous_batching": {"num_blocks": 9}}},
            "num_blocks needs enabled=True",
        ),
    ],
)
def test_each_problem_names_its_key(values, told):
    """At every level of the marker."""
    assert told in "\n".join(problems(**values))


@pytest.mark.parametrize(
    ("section", "told"),
    [
        (
            {"batching": {"strategy": "dynamic", "max_tokens_per_batch": 64}},
            "transformers.batching.strategy=dynamic needs batch_size above 1",
        ),
        (
            {"continuous_batching": {"enabled": True}, "torch_compile": True},
            "continuous_batching and transformers.torch_compile exclude each other",
        ),
        ({"merge_adapter": True}, "transformers.merge_adapter needs adapter"),
        (
            {"prompt_lookup_num_tokens": 3, "cache_implementation": "static"},
            "prompt_lookup_num_tokens needs a cache that can shrink",
        ),
    ],
)
def test_a_section_that_the_workload_leaves_without_meaning_is_refused(section, told):
    """Only of the backend that runs."""
    text = "\n".join(problems(backend="transformers", transformers=section))
    assert told in text
    assert planned(backend="fake", transformers=section)


def test_drafts_are_for_one_request_at_a_time():
    """Said before anything is loaded."""
    section = {"assistant_model": "synthetic:llama-tiny"}
    (told,) = problems(backend="transformers", transformers=section, batch_size=4)
    assert "batch_size=4 has to be 1" in told
    assert planned(backend="transformers", transformers=section)


def test_a_hit_rate_is_asked_of_engines_that_tell_it():
    """transformers shares pages too, and says nothing of it."""
    (told,) = problems(backend="transformers", least_hit_rate=0.5)
    assert told == "least_hit_rate: transformers does not tell what its cache had"
    assert planned(backend="vllm", least_hit_rate=0.5)


def test_a_missing_backend_is_told_by_name():
    """Nothing is assumed about the engine."""
    with pytest.raises(ConfigError, match=r"^backend is missing$"):
        plan_experiment("n", [])


@pytest.mark.parametrize("key", sorted({*MARKER_KEYS} - {"backends"}))
def test_every_marker_key_reaches_the_experiment(key):
    """No key is taken and then forgotten: a value that is none is refused."""
    assert "is unknown" not in "\n".join(problems(**{key: object()}))


def name(spec=None, workload=None, fingerprint=None, prompts=None):
    return identity(
        spec or EngineSpec(backend="fake"),
        workload or Workload(),
        FINGERPRINT if fingerprint is None else fingerprint,
        prompts,
    )


def test_an_identity_is_sixteen_hex_digits_known_for_ever():
    """Stored records are found again: this value may never change."""
    assert name() == "777c9ecda3a4148f"
    assert re.fullmatch("[0-9a-f]{16}", name())


def test_defaults_are_left_out():
    """Saying a default aloud is saying nothing; so is a field added later."""
    spoken = Workload(output_tokens=128, batch_size=1, seed=42, decoder={})
    spec = EngineSpec(backend="fake", trust_remote_code=False, precision=None)
    assert name(spec, spoken) == name()


@pytest.mark.parametrize(
    "spec",
    [
        {"backend": "transformers"},
        {"precision": "float16"},
        {"revision": "abc"},
        {"trust_remote_code": True},
        {"engine": {"token_s": 0.1}},
    ],
)
def test_another_spec_is_another_identity(spec):
    """All that decides what is loaded counts."""
    assert name(EngineSpec(**{"backend": "fake", **spec})) != name()


@pytest.mark.parametrize(
    "workload",
    [
        {"input_tokens": 128},
        {"output_tokens": 127},
        {"min_output_tokens": 0},
        {"batch_size": 2},
        {"requests": 4},
        {"streaming": True},
        {"streaming_warmup_requests": 4},
        {"decoder": {"do_sample": True}},
        {"seed": 43},
    ],
)
def test_another_workload_is_another_identity(workload):
    """All that decides what is asked counts."""
    assert name(workload=Workload(**workload)) != name()


def test_aliases_and_short_forms_are_the_same_thing():
    """`fp16` and `float16` are one precision."""
    short, long = (EngineSpec(backend="fake", precision=p) for p in ("fp16", "float16"))
    assert name(short) == name(long)


def test_effort_and_origins_are_not_part_of_it():
    """How hard a thing is measured, and who asked, does not change the thing."""
    idle = planned(cycles=1, windows=9, warmup="off", timeout=5.0)
    eager = plan_experiment(
        "other.py::node", [Layer(origin="cli", values={"backend": "fake"})]
    )
    assert idle.effort != eager.effort
    assert idle.provenance != eager.provenance
    assert name(idle.spec, idle.workload) == name(eager.spec, eager.workload)


def model(folder, **changed):
    folder.mkdir(parents=True, exist_ok=True)
    files = {"config.json": {"a": 1}, "tokenizer.json": {"b": 1}, **changed}
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content))
    (folder / "model.bin").write_bytes(b"weights")
    return str(folder)


def of_directory(path):
    fingerprint = resolve(path, backend="fake").fingerprint
    return name(EngineSpec(backend="fake", model=path), fingerprint=fingerprint)


def test_a_local_model_counts_by_its_content_not_by_its_path(tmp_path):
    """A model moved is the same; one whose weights or config changed is not."""
    here = of_directory(model(tmp_path / "here"))
    assert of_directory(model(tmp_path / "moved" / "there")) == here
    config = model(tmp_path / "config", **{"config.json": {"a": 2}})
    assert of_directory(config) != here
    tokenizer = model(tmp_path / "tokenizer", **{"tokenizer.json": {"b": 2}})
    assert of_directory(tokenizer) != here
    weights = model(tmp_path / "weights")
    (tmp_path / "weights" / "model.bin").write_bytes(b"other weights")
    assert of_directory(weights) != here


def test_a_prompt_file_counts_by_its_content_not_by_its_path():
    """The hash of the texts takes the place of where they lie."""
    one, other = Workload(prompts="/a/p.txt"), Workload(prompts="/b/q.txt")
    assert name(workload=one, prompts="f00") == name(workload=other, prompts="f00")
    assert name(workload=one, prompts="f00") != name(workload=one, prompts="ba4")


def test_an_adapter_counts_by_its_content_not_by_its_path():
    """The hashes of its files take the place of where they lie."""

    def of(path, sha256):
        content = {"weights_sha256": sha256}
        return identity(
            EngineSpec(backend="fake", adapter=path), Workload(), {}, None, content
        )

    assert of("/a", "f00") == of("/b", "f00")
    assert of("/a", "f00") != of("/a", "ba4")


def test_each_of_several_adapters_counts_by_its_content_and_its_name():
    """Paths have no say; which requests get it follows from the name."""

    def of(path, name, sha256):
        spec = EngineSpec(backend="vllm", engine={"adapters": {name: path}})
        content = {name: {"weights_sha256": sha256}}
        return identity(spec, Workload(), {}, None, adapters=content)

    assert of("/a", "law", "f00") == of("/b", "law", "f00")
    assert of("/a", "law", "f00") != of("/a", "law", "ba4")
    assert of("/a", "law", "f00") != of("/a", "code", "f00")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"request_adapters": ["low", None]},
            "vllm: adapter 'low' is unknown; did you mean 'law'?",
        ),
        ({"adapters": {}}, "at least one entry"),
        ({"enable_lora": False}, "vllm.enable_lora=False and vllm.adapters exclude"),
    ],
)
def test_several_adapters_agree_with_the_rest(changes, told):
    """In one line, when experiments are collected."""
    section = {"adapters": {"law": "/a"}, **changes}
    assert told in "\n".join(problems(backend="vllm", vllm=section))


def test_several_adapters_are_instead_of_one():
    """Which of them would a request get?"""
    section = {"adapters": {"law": "/a"}}
    told = problems(backend="vllm", adapter="/b", vllm=section)
    assert "vllm.adapters and adapter exclude each other" in told


def test_it_is_the_same_in_every_process():
    """Hash randomisation has no say."""
    code = (
        "from pytest_lem.spec.engine import EngineSpec\n"
        "from pytest_lem.spec.experiment import identity\n"
        "from pytest_lem.spec.workload import Workload\n"
        "spec = EngineSpec(backend='fake', engine={k: 1 for k in {'b', 'a', 'ü'}})\n"
        "print(identity(spec, Workload(), {}, None))\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
sections = st.dictionaries(st.text(min_size=1, max_size=5), plain, max_size=5)


def reordered(value):
    if not isinstance(value, dict):
        return value
    return {key: reordered(value[key]) for key in reversed(value)}


decoders = st.fixed_dictionaries(
    {},
    optional={
        "do_sample": st.booleans(),
        "temperature": st.floats(0, 2),
        "top_k": st.integers(0, 9),
    },
)


@given(section=sections, decoder=decoders)
def test_the_order_of_keys_has_no_say(section, decoder):
    """At any depth of the engine's section and the decoder's options."""
    one = name(EngineSpec(backend="fake", engine=section), Workload(decoder=decoder))
    other = name(
        EngineSpec(backend="fake", engine=reordered(section)),
        Workload(decoder=reordered(decoder)),
    )
    assert one == other


workloads = st.builds(
    Workload,
    input_tokens=st.none() | st.integers(1, 9),
    output_tokens=st.integers(1, 9),
    batch_size=st.integers(1, 3),
    requests=st.none() | st.integers(1, 3),
    streaming=st.booleans(),
    seed=st.integers(0, 3),
)


@given(one=workloads, other=workloads)
def test_two_workloads_share_an_identity_only_if_they_are_equal(one, other):
    """No field stands for another."""
    assert (name(workload=one) == name(workload=other)) == (one == other)


@pytest.mark.parametrize(
    ("values", "known"),
    [
        ({}, "b0cf7b0b68fa75f0"),
        (
            {
                "precision": "bf16",
                "transformers": {"device": "cpu", "attn_implementation": "eager"},
                "batch_size": 4,
                "output_tokens": 16,
            },
            "381a3c1e582adad8",
        ),
        (
            {
                "decoder": {"do_sample": True, "temperature": 0.8, "top_k": 50},
                "seed": 3,
                "streaming": True,
            },
            "f67ef7011f07f39b",
        ),
        (
            {
                "backend": "fake",
                "fake": {"token_s": 0.001, "jitter_s": [0.1]},
                "decoder": {"num_beams": 2},
            },
            "f8c8c73ad44d5ca7",
        ),
    ],
)
def test_an_experiment_keeps_its_identity_when_parameters_are_added(values, known):
    """What is unset is left out, however many parameters there are by now."""
    experiment = planned(**{"backend": "transformers", **values})
    assert name(experiment.spec, experiment.workload) == known
