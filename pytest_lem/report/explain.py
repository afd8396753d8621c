"""What `lem explain` tells of an experiment."""

import json
from collections.abc import Iterator

from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.explained import Setting, settings


def lines(identity: str, experiment: Experiment) -> Iterator[str]:
    """Every setting with its value and origin, below the experiment's name."""
    yield f"{experiment.id}  (identity {identity})"
    found = settings(experiment)
    wide = max(len(one.key) for one in found)
    values = [_value(one) for one in found]
    broad = max(map(len, values))
    for one, value in zip(found, values, strict=True):
        origin = one.origin
        if origin == "preset":
            origin = f"preset {', '.join(experiment.presets)}"
        yield f"  {one.key:<{wide}}  {value:<{broad}}  {origin}"
    for note in experiment.notes:
        yield f"  note: {note}"


def line_of_json(identity: str, experiment: Experiment) -> str:
    """The same as one JSON object."""
    return json.dumps(
        {
            "id": experiment.id,
            "identity": identity,
            "presets": list(experiment.presets),
            "settings": [one.to_json() for one in settings(experiment)],
            "notes": [one.to_json() for one in experiment.notes],
        }
    )


def _value(one: Setting) -> str:
    if one.value is None:
        return f"unset ({one.unset})" if one.unset else "unset"
    return one.value if isinstance(one.value, str) else json.dumps(one.value)
