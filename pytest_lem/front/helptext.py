"""What only the models know of the options, for those who ask for help."""

from collections.abc import Iterable

import pytest

from pytest_lem.engines.registry import BUILT_IN
from pytest_lem.spec.catalogue import BACKENDS, UNIVERSAL, rows
from pytest_lem.spec.experiment import MARKER_KEYS
from pytest_lem.spec.presets import PRESETS
from pytest_lem.workload.models import synthetic_names


def complete(parser: pytest.Parser) -> None:
    """Add to the help of options the names, keys and counts that are valid."""
    more = _more()
    for one in parser.getgroup("lem").options:
        if one.dest in more:
            about = one.attrs()
            about["help"] = f"{about['help']}; {more[one.dest]}"


def _more() -> dict[str, str]:
    engines = [" or ".join((one.name, *one.aliases)) for one in BUILT_IN]
    made_up = [f"synthetic:{name}" for name in synthetic_names()]
    return {
        "lem_backend": f"known: {_list(engines)}",
        "lem_model": f"made on the spot: {_list(made_up)}",
        "lem_preset": f"known: {_list(PRESETS)}",
        "lem_set": _keys(),
    }


def _keys() -> str:
    """The keys that can be set, and how many each section has."""
    inside = [row.path for row in rows(UNIVERSAL) if "." in row.path]
    plain = [key for key in MARKER_KEYS if key not in {*BACKENDS, "backends"}]
    sections = [f"{name} ({len(rows(name))} keys)" for name in BACKENDS]
    return f"keys: {_list([*plain, *inside])}; sections: {_list(sections)}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
