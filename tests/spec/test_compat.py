"""Versions of other packages: those that are there, against those written for."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pytest_lem.spec import compat
from pytest_lem.spec.catalogue import BACKENDS

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]


@pytest.fixture
def installed(monkeypatch):
    """Versions that the interpreter seems to have."""

    def installed(**versions):
        def version(name):
            if name not in versions:
                raise compat.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(compat, "version", version)

    return installed


def test_a_version_out_of_range_is_told_with_the_range(installed):
    """Only of what the run uses, and what is installed."""
    installed(transformers="4.57.1", torch="2.13.0+cpu", vllm="0.1", codecarbon="2.8")
    (note,) = compat.untested({"transformers"}, {"nvml"})
    assert note.message.startswith("transformers 4.57.1 is outside of >=5.17,<6")
    (note,) = compat.untested({"fake"}, {"codecarbon"})
    assert note.message.startswith("codecarbon 2.8 is outside of")
    assert list(compat.untested({"fake"}, set())) == []


def test_every_backend_has_its_engine_in_the_table():
    """And no two packages are the same engine."""
    engines = [one.engine for one in compat.packages() if one.engine]
    assert sorted(engines) == sorted(BACKENDS)


def test_what_was_tried_is_in_range_and_may_be_installed_by_an_extra():
    """The table and the extras speak of the same versions."""
    wanted = [Requirement(line) for lines in EXTRAS.values() for line in lines]
    by_name = {one.name: one.specifier for one in wanted}
    for one in compat.packages():
        for version in one.tried:
            assert by_name[one.name].contains(version)
            assert SpecifierSet(one.range).contains(version)
