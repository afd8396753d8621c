"""TensorRT-LLM's own objects, made of what was recorded of them."""

import dataclasses
import functools
import json
import operator
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BeforeValidator, ConfigDict, Field, create_model

import pytest_lem.engines.tensorrt

FOLDER = Path(pytest_lem.engines.tensorrt.__file__).parent / "recorded"
RECORDING = os.environ.get("SCRIPTED_TENSORRT_LLM", "1.3")
GONE = {"TrtLlmArgs", "BuildConfig", "CalibConfig", "PluginConfig"}
DATACLASSES = {"SamplingParams", "LoraConfig", "LoRARequest"}
ALGORITHMS = (
    "W8A16 W4A16 W4A16_AWQ W4A8_AWQ W8A16_GPTQ W4A16_GPTQ W8A8_SQ_PER_CHANNEL "
    "W8A8_SQ_PER_TENSOR_PLUGIN W8A8_SQ_PER_CHANNEL_PER_TOKEN_PLUGIN FP8 "
    "FP8_PER_CHANNEL_PER_TOKEN FP8_BLOCK_SCALES INT8 MIXED_PRECISION NVFP4 NO_QUANT"
)
FORMATS = Literal["auto", "dummy", "vision_only", "gms"]


class Types(dict):
    """Names in recorded types; those of objects that were not recorded take all."""

    def __missing__(self, name):
        return Any


NAMES = Types(
    Optional=Optional,
    Union=Union,
    List=list,
    Dict=dict,
    Literal=Literal,
    Path=Path,
    object=Any,
    LoadFormat=Annotated[FORMATS, BeforeValidator(lambda one: str(one).lower())],
    QuantAlgo=Literal[tuple(ALGORITHMS.split())],
)
for one in (str, int, float, bool):
    NAMES[one.__name__] = one


def objects():
    """What was recorded, by name; of the newer version only what was read again."""
    older = json.loads((FOLDER / "1.3.json").read_text())["objects"]
    if RECORDING == "1.3":
        return older
    newer = json.loads((FOLDER / f"{RECORDING}.json").read_text())["objects"]
    base = newer["DecodingBaseConfig"]["arguments"]
    old_base = older["DecodingBaseConfig"]["arguments"]
    for name, found in older.items():
        if name.endswith("DecodingConfig"):
            own = {k: v for k, v in found["arguments"].items() if k not in old_base}
            found["arguments"] = {**base, **own}
    return {k: v for k, v in {**older, **newer}.items() if k not in GONE}


def made(name, arguments):
    """One of the objects: a dataclass, or a model that forbids what it knows not."""
    fields = {}
    for key, told in arguments.items():
        kind = eval(told["type"], {}, NAMES)
        if "made" in told:
            default = Field(default_factory=maker(told["made"]))
        elif "default" not in told:
            default = Field(**told.get("limits", {}))
        else:
            default = Field(default=told["default"], **told.get("limits", {}))
        fields[key] = (kind, default)
    if name in DATACLASSES:
        return dataclasses.make_dataclass(
            name,
            [
                (
                    key,
                    Any,
                    dataclasses.field(default_factory=lambda v=field: field_value(v))
                    if not field.is_required()
                    else dataclasses.field(),
                )
                for key, (_, field) in fields.items()
            ],
            bases=(BASES.get(name, object),),
            kw_only=name == "SamplingParams",
        )
    extra = "ignore" if name == "PluginConfig" else "forbid"
    config = ConfigDict(
        extra=extra, protected_namespaces=(), arbitrary_types_allowed=True
    )
    return create_model(name, __config__=config, **fields)


def maker(name):
    """A class that makes a default; of one that was not recorded nothing is made."""
    found = NAMES[name]
    return (lambda: None) if found is Any else found


def field_value(field):
    """The default of a field, a new one each time."""
    value = field.get_default(call_default_factory=True)
    return list(value) if isinstance(value, list) else value


class Checked:
    """What the real `SamplingParams` refuses by itself."""

    def __post_init__(self):
        self.best_of = self.best_of or self.n
        if self.top_p is not None and not 0 <= self.top_p <= 1:
            raise ValueError(f"require 0 <= top_p <= 1, got top_p={self.top_p}")
        if self.top_k is not None and self.top_k < 0:
            raise ValueError(f"require top_k >= 0, got top_k={self.top_k}")
        if self.temperature is not None and self.temperature < 0:
            raise ValueError(
                f"require temperature >= 0, got temperature={self.temperature}"
            )
        if self.best_of < self.n:
            raise ValueError(
                f"best_of ({self.best_of}) cannot be less than n ({self.n})"
            )
        if self.best_of > 1 and self.greedy:
            raise ValueError(
                "Greedy decoding in the LLM API does not allow multiple returns."
            )

    @property
    def greedy(self):
        asked = (self.temperature, self.top_p, self.top_k)
        likeliest = asked == (None, None, None) or self.top_k == 1
        return not self.use_beam_search and (likeliest or self.temperature == 0)


class Placed:
    """An adapter has to be there."""

    def __post_init__(self):
        if not os.path.exists(self.lora_path):
            raise ValueError(f"lora_path ({self.lora_path}) does not exist.")


BASES = {"SamplingParams": Checked, "LoRARequest": Placed}
NESTED_FIRST = ("KvCacheConfig", "LoraConfig", "PluginConfig", "BlockReuseConfig")
CALLS = ("generate", "generate_async")
ARGS = ("TorchLlmArgs", "TrtLlmArgs")


def build():
    """Everything, the small ones before those that have them."""
    found = objects()
    late = [name for name in ARGS if name in found]
    names = [n for n in found if n not in (*CALLS, *late, "BuildConfig")]
    if "BuildConfig" in found:
        names.append("BuildConfig")
    ready = [*[n for n in NESTED_FIRST if n in found], *names]
    for name in dict.fromkeys(ready):
        NAMES[name] = made(name, found[name]["arguments"])
    drafts = [
        NAMES[name]
        for name in names
        if name.endswith("DecodingConfig")
        and "decoding_type" in found[name]["arguments"]
    ]
    NAMES["SpeculativeConfig"] = Annotated[
        functools.reduce(operator.or_, drafts), Field(discriminator="decoding_type")
    ]
    for name in late:
        NAMES[name] = made(name, found[name]["arguments"])
    return found


RECORDED = build()
SamplingParams = NAMES["SamplingParams"]


def recorded_object(name):
    """A class by its name; AttributeError where this version has none."""
    if name not in RECORDED or name in CALLS:
        raise AttributeError(name)
    return NAMES[name]
