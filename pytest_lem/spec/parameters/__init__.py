"""The engines' own sections: one model per backend, chosen by its name."""

from pydantic import BaseModel

from pytest_lem.spec.parameters.fake import FakeParameters
from pytest_lem.spec.parameters.tensorrt import TensorrtParameters
from pytest_lem.spec.parameters.transformers import TransformersParameters
from pytest_lem.spec.parameters.vllm import VllmParameters

SECTIONS: dict[str, type[BaseModel]] = {
    "transformers": TransformersParameters,
    "vllm": VllmParameters,
    "tensorrt": TensorrtParameters,
    "fake": FakeParameters,
}

SECTION_ALIASES = {"pytorch": "transformers", "trt": "tensorrt"}
