"""One thing measured: engine spec and workload, with its identity."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pytest_lem.errors import ConfigError
from pytest_lem.spec.effort import EFFORT_KEYS, Effort, Warmup
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.nearest import unknown
from pytest_lem.spec.parameters import SECTIONS
from pytest_lem.spec.parameters.other import OtherParameters
from pytest_lem.spec.provenance import Layer, merge
from pytest_lem.spec.workload import Workload

SPEC_KEYS = tuple(name for name in EngineSpec.model_fields if name != "engine")
WORKLOAD_KEYS = tuple(Workload.model_fields)
MARKER_KEYS = tuple(
    sorted(
        {*SPEC_KEYS, *WORKLOAD_KEYS, *EFFORT_KEYS, *SECTIONS, "backends"} - {"backend"}
    )
)


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What one pytest item measures.

    `id` is the node id. `late` experiments learn their workload from the test's body;
    until then `workload` is the one of the marker. `provenance` has the origin of
    every value that is not a default.
    """

    id: str
    spec: EngineSpec
    workload: Workload
    effort: Effort
    provenance: Mapping[str, str] = field(default_factory=dict)


def plan_experiment(
    node_id: str, layers: Iterable[Layer], backends: Iterable[str] = ()
) -> Experiment:
    """The experiment that the layers describe.

    `backends` are all engines there are: each may have a section. Raises ConfigError
    whose message has one line for each value that cannot be.
    """
    values, origins = merge(layers)
    others: dict[str, type[BaseModel]] = dict.fromkeys(backends, OtherParameters)
    sections = {**others, **SECTIONS}
    allowed = {*MARKER_KEYS, *sections}
    problems = [
        unknown("key", key, allowed)
        for key in values
        if key not in allowed and key != "backend"
    ]
    backend = str(values.get("backend", ""))
    spec = _spec(values, backend, sections, problems)
    workload = _model(Workload, _only(values, WORKLOAD_KEYS), "", problems)
    effort = _effort(_only(values, EFFORT_KEYS), problems)
    if problems or spec is None or workload is None or effort is None:
        raise ConfigError("\n".join(problems))
    return Experiment(
        id=node_id, spec=spec, workload=workload, effort=effort, provenance=origins
    )


def identity(
    spec: EngineSpec,
    workload: Workload,
    fingerprint: Mapping[str, Any],
    prompts_sha256: str | None,
) -> str:
    """First 16 hex digits of the SHA-256 of what decides the work, and nothing else.

    `fingerprint` stands for the model's content, `prompts_sha256` for that of given
    texts. Fields at their default are left out, so that a field added later changes
    no old identity.
    """
    engine = spec.model_dump(exclude_defaults=True, exclude_none=True)
    engine["model"] = dict(fingerprint)
    work = workload.model_dump(exclude_defaults=True, exclude_none=True)
    if prompts_sha256:
        work["prompts"] = prompts_sha256
    what = {"v": 1, "engine": engine, "workload": work}
    canonical = json.dumps(what, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _spec(
    values: Mapping[str, Any],
    backend: str,
    sections: Mapping[str, type[BaseModel]],
    problems: list[str],
) -> EngineSpec | None:
    """The spec with its backend's section; the other sections are checked as well."""
    checked = {
        name: _model(section, values[name], f"{name}.", problems)
        for name, section in sections.items()
        if name in values
    }
    own = checked.get(backend)
    engine = own.model_dump(exclude_none=True) if own else {}
    given = _only(values, SPEC_KEYS)
    return _model(EngineSpec, {**given, "engine": engine}, "", problems)


def _model(model: type[M], values: Any, prefix: str, problems: list[str]) -> M | None:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems += [_line(model, detail, prefix) for detail in error.errors()]
        return None


def _line(model: type[BaseModel], detail: Any, prefix: str) -> str:
    where = (prefix + ".".join(str(part) for part in detail["loc"])).rstrip(".")
    if detail["type"] == "extra_forbidden":
        name = str(detail["loc"][-1])
        return unknown("key", name, model.model_fields, within=where.removesuffix(name))
    if detail["type"] == "missing":
        return f"{where} is missing"
    if detail["type"] == "model_type":
        return f"{where}={detail['input']!r} is no mapping of parameters"
    reason = detail["msg"].removeprefix("Value error, ")
    return f"{where}={detail['input']!r}: {reason}" if detail["loc"] else reason


def _effort(values: dict[str, Any], problems: list[str]) -> Effort | None:
    try:
        if isinstance(warmup := values.pop("warmup", Warmup()), str):
            warmup = Warmup.parse(warmup)
    except ConfigError as error:
        problems.append(error.message)
        warmup = Warmup()
    try:
        return Effort(**values, warmup=warmup)
    except ConfigError as error:
        problems += error.message.splitlines()
        return None


def _only(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: values[key] for key in keys if key in values}
