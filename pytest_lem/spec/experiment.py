"""One thing measured: engine spec and workload, with its identity."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pytest_lem.errors import ConfigError
from pytest_lem.spec.aliases import notes, resolve
from pytest_lem.spec.catalogue import homes, nested, overridden
from pytest_lem.spec.combinations import conflicts
from pytest_lem.spec.demands import DEMAND_KEYS, Demands, demands
from pytest_lem.spec.effort import EFFORT_KEYS, Effort, Warmup
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.hints import hinted
from pytest_lem.spec.nearest import unknown
from pytest_lem.spec.notes import Note
from pytest_lem.spec.parameters import SECTIONS
from pytest_lem.spec.parameters.about import Section
from pytest_lem.spec.parameters.other import OtherParameters
from pytest_lem.spec.placement import PLACEMENT_KEYS, Placement
from pytest_lem.spec.presets import DECODERS, PRESETS, Preset, preset_values
from pytest_lem.spec.provenance import Layer, merge
from pytest_lem.spec.workload import Workload

SPEC_KEYS = tuple(name for name in EngineSpec.model_fields if name != "engine")
WORKLOAD_KEYS = tuple(Workload.model_fields)
MARKER_KEYS = tuple(
    sorted(
        {*SPEC_KEYS, *WORKLOAD_KEYS, *EFFORT_KEYS, *DEMAND_KEYS, *PLACEMENT_KEYS}
        - {"backend"}
        | {*SECTIONS, "preset", "backends"}
    )
)


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What one pytest item measures.

    `id` is the node id. `late` experiments learn their workload from the test's body;
    until then `workload` is the one of the marker. `provenance` has the origin of
    every value that is not a default, `notes` what had better be said otherwise,
    `presets` the names of those that had a say.
    """

    id: str
    spec: EngineSpec
    workload: Workload
    effort: Effort
    provenance: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    presets: tuple[str, ...] = ()
    demands: Demands = field(default_factory=Demands)
    placement: Placement = field(default_factory=Placement)

    def with_workload(self, workload: Workload) -> "Experiment":
        """The same with other work; raises ConfigError where its spec forbids that."""
        problems = [*conflicts(self.spec, workload), *_unfit(self.effort, workload)]
        if problems:
            raise ConfigError("\n".join(problems))
        before = {*self.workload.decoder.doubts()}
        kept = [one for one in self.notes if one not in before]
        notes = (*kept, *workload.decoder.doubts())
        return replace(self, workload=workload, notes=notes)


def plan_experiment(
    node_id: str,
    layers: Iterable[Layer],
    backends: Iterable[str] = (),
    known: Mapping[str, Preset] = PRESETS,
    budgets: Collection[str] = (),
) -> Experiment:
    """The experiment that the layers describe.

    `backends` are all engines there are: each may have a section; `known` are the
    presets, and `budgets` the keys of those there can be. Raises ConfigError whose
    message has one line for each value that cannot be.
    """
    older: dict[str, str] = {}
    problems: list[str] = []
    said = [_named(layer, older, problems) for layer in layers]
    values, origins = merge(said)
    if presets := _presets(values, known, problems):
        first = sum(one.origin in ("default", "profile") for one in said)
        chosen = [Layer(origin="preset", values=one) for one in presets.values()]
        values, origins = merge([*said[:first], *chosen, *said[first:]])
    values.pop("preset", None)
    others: dict[str, type[BaseModel]] = dict.fromkeys(backends, OtherParameters)
    sections = {**others, **SECTIONS}
    allowed = {*MARKER_KEYS, *sections, *budgets}
    problems += [
        unknown_key(key, "", allowed)
        for key in values
        if key not in allowed and key != "backend"
    ]
    backend = str(values.get("backend", ""))
    doubts: list[Note] = []
    spec = _spec(values, backend, sections, problems, doubts)
    workload = _model(Workload, _only(values, WORKLOAD_KEYS), "", problems)
    effort = _effort(_only(values, EFFORT_KEYS), problems)
    asked = demands(values, budgets, problems)
    given = values.get("placement")
    where = _model(Placement, {} if given is None else given, "placement.", problems)
    if effort and effort.cold_start:
        origins |= dict.fromkeys(("windows", "warmup"), origins["cold_start"])
    if effort and workload:
        problems += _unfit(effort, workload)
    if spec and workload:
        problems += conflicts(spec, workload)
        doubts += workload.decoder.doubts()
    if problems or not (spec and workload and effort and where is not None):
        raise ConfigError("\n".join(problems))
    return Experiment(
        id=node_id,
        spec=hinted(spec, workload, origins),
        workload=workload,
        effort=effort,
        provenance=origins,
        notes=(*notes(older, backend), *doubts),
        presets=tuple(presets),
        demands=asked,
        placement=where,
    )


def identity(
    spec: EngineSpec,
    workload: Workload,
    fingerprint: Mapping[str, Any],
    prompts_sha256: str | None,
    adapter: Mapping[str, Any] | None = None,
    adapters: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """First 16 hex digits of the SHA-256 of what decides the work, and nothing else.

    `fingerprint` stands for the model's content, `adapter` for that of its adapter, or
    `adapters` of each by name, and `prompts_sha256` for that of given texts. Fields at
    their default are left out, so that a field added later changes no old identity.
    """
    engine = spec.model_dump(exclude_defaults=True, exclude_none=True)
    engine["model"] = dict(fingerprint)
    if adapter is not None:
        engine["adapter"] = dict(adapter)
    if adapters:
        named = {name: dict(one) for name, one in adapters.items()}
        engine["engine"] = {**engine["engine"], "adapters": named}
    work = workload.model_dump(
        exclude={"slo"}, exclude_defaults=True, exclude_none=True
    )
    if prompts_sha256:
        work["prompts"] = prompts_sha256
    what = {"v": 1, "engine": engine, "workload": work}
    canonical = json.dumps(what, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def named(layer: Layer) -> Layer:
    """The layer under today's names; as it is where something is wrong with them."""
    older: dict[str, str] = {}
    problems: list[str] = []
    found = _named(layer, older, problems)
    return layer if problems else replace(found, older=older)


def _named(layer: Layer, older: dict[str, str], problems: list[str]) -> Layer:
    if layer.older is None:
        return replace(layer, values=resolve(layer.values, older, problems))
    older |= layer.older
    return layer


def _spec(
    values: Mapping[str, Any],
    backend: str,
    sections: Mapping[str, type[BaseModel]],
    problems: list[str],
    doubts: list[Note],
) -> EngineSpec | None:
    """The spec with its backend's section; the other sections are checked as well."""
    checked = {
        name: _model(section, values[name], f"{name}.", problems)
        for name, section in sections.items()
        if name in values
    }
    own = checked.get(backend)
    given = _only(values, SPEC_KEYS)
    engine = _set_ones(own) if own else {}
    if isinstance(own, Section):
        problems += overridden(backend, engine)
        doubts += (_within(backend, one) for one in own.doubts())
    return _model(EngineSpec, {**given, "engine": engine}, "", problems)


def _within(section: str, note: Note) -> Note:
    path, message = f"{section}.{note.path}", f"{section}: {note.message}"
    return replace(note, path=path, message=message)


def _set_ones(section: BaseModel) -> dict[str, Any]:
    """What is set in a section; of a known engine's section as plain JSON."""
    if not isinstance(section, Section):
        return section.model_dump(exclude_none=True)
    values = section.model_dump(mode="json", exclude_none=True)
    return {key: value for key, value in values.items() if value != {}}


def _presets(
    values: Mapping[str, Any], known: Mapping[str, Preset], problems: list[str]
) -> dict[str, Mapping[str, Any]]:
    """The values of the presets that are named, the decoder's own last."""
    found: dict[str, Mapping[str, Any]] = {}
    try:
        if (names := values.get("preset")) is not None:
            found = preset_values(names, str(values.get("backend")), known)
    except ConfigError as error:
        problems.append(error.message)
    decoder = values.get("decoder")
    name = decoder.get("preset") if isinstance(decoder, Mapping) else None
    if isinstance(name, str) and name in DECODERS:
        found[name] = {"decoder": DECODERS[name]}
    return found


def _model(model: type[M], values: Any, prefix: str, problems: list[str]) -> M | None:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines: dict[str, str] = {}
        for detail in error.errors():
            where, line = _line(model, detail, prefix)
            # Of a value that fits no type there is an error for each of them.
            lines[where] = (
                f"{lines[where]}, or: {_reason(detail)}"
                if (where in lines and detail["loc"])
                else line
            )
        problems += lines.values()
        return None


def _line(model: type[BaseModel], detail: Any, prefix: str) -> tuple[str, str]:
    """The key that an error is about, and the error in one line."""
    known, path = model, []
    for part in detail["loc"]:
        path.append(str(part))
        inner = None
        if info := known.model_fields.get(str(part)):
            inner = nested(info.annotation)
        if inner is None:
            break
        known = inner
    where = (prefix + ".".join(path)).rstrip(".")
    if detail["type"] == "extra_forbidden":
        return where, unknown_key(
            path[-1], where.removesuffix(path[-1]), known.model_fields
        )
    if detail["type"] == "missing":
        return where, f"{where} is missing"
    if detail["type"] == "model_type":
        return where, f"{where}={detail['input']!r} is no mapping of parameters"
    if detail["type"] == "value_error" and isinstance(detail["input"], Mapping):
        return where, f"{where}: {_reason(detail)}" if where else _reason(detail)
    return where, f"{where}={detail['input']!r}: {_reason(detail)}"


def _reason(detail: Any) -> str:
    return str(detail["msg"]).removeprefix("Value error, ")


def unknown_key(name: str, prefix: str, choices: Iterable[str]) -> str:
    """What is wrong with a key: it is misspelt, or it has another place."""
    if places := homes(name):
        return f"key {prefix + name!r} belongs elsewhere: {' or '.join(places)}"
    return unknown("key", name, choices, within=prefix)


def _effort(values: dict[str, Any], problems: list[str]) -> Effort | None:
    try:
        if isinstance(warmup := values.pop("warmup", Warmup()), str):
            warmup = Warmup.parse(warmup)
    except ConfigError as error:
        problems.append(error.message)
        warmup = Warmup()
    try:
        return Effort(**values, warmup=warmup).as_begun()
    except ConfigError as error:
        problems += error.message.splitlines()
        return None


def _unfit(effort: Effort, workload: Workload) -> Iterator[str]:
    """Work that cannot be measured with such effort."""
    if effort.cold_start and workload.streaming:
        yield (
            "cold_start: streaming sends its requests after the one cold pass, to an "
            "engine that is warm; leave it out, and --lem-phases stamps that pass"
        )


def _only(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: values[key] for key in keys if key in values}
