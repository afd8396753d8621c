"""The sections of backends."""

from dataclasses import fields

import pytest

from pytest_lem.engines.fake import Script
from pytest_lem.errors import ConfigError
from pytest_lem.spec.experiment import plan_experiment
from pytest_lem.spec.parameters.fake import FakeParameters
from pytest_lem.spec.provenance import Layer


def test_the_fake_section_is_the_fake_engine_s_script():
    """What can be asked of the fake engine is what it knows, no less and no more."""
    assert list(FakeParameters.model_fields) == [field.name for field in fields(Script)]


def test_a_key_that_is_not_in_the_script_is_refused_at_collection():
    """A typo in the script is told with the nearest key, before anything runs."""
    values = {"backend": "fake", "fake": {"tokens_s": 1}}
    with pytest.raises(
        ConfigError, match=r"'fake\.tokens_s' is unknown.*fake\.token_s"
    ):
        plan_experiment("x", [Layer(origin="marker", values=values)])
