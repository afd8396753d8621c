"""The engines' own sections: one model per backend, chosen by its name."""

from pydantic import BaseModel

from pytest_lem.spec.parameters.fake import FakeParameters
from pytest_lem.spec.parameters.transformers import TransformersParameters

SECTIONS: dict[str, type[BaseModel]] = {
    "transformers": TransformersParameters,
    "fake": FakeParameters,
}
