"""The parameters as a list, read from their models: names, ranges, targets, aliases."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pytest_lem.spec.compat import packages
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.parameters import SECTIONS
from pytest_lem.spec.parameters.about import Section
from pytest_lem.spec.workload import Workload

UNIVERSAL = "universal"
BACKENDS = tuple(n for n, one in SECTIONS.items() if issubclass(one, Section))

_GONE = {
    "sharding": "each engine has its own; set transformers.distributed_config, "
    "vllm.tensor_parallel_size or tensorrt.tensor_parallel_size",
    "traffic_simulation": "say arrivals, or leave it out for whole batches",
    "gpus": "GPUs are the run's and not the experiment's; say --lem-gpus",
    "save_outputs": "texts are the run's and not the experiment's; say "
    "--lem-save-outputs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One parameter: where it is typed, what it takes, and what is known of it.

    `path` is what a marker or `--lem-set` says; `group` titles those that belong
    together. `targets` has `object.argument` of the
    engine by backend; `effect` the words for energy, throughput, latency, maybe memory,
    and whether that was measured. `older_names` are paths that are still taken.
    """

    path: str
    group: str
    type: str
    range: str
    meaning: str
    engine_default: str
    unit: str
    choices: str
    advice: str
    needs: str
    versions: str
    effect: Mapping[str, str]
    targets: Mapping[str, str]
    older_names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@cache
def rows(of: str) -> tuple[Row, ...]:
    """The parameters of a backend's section, or the universal ones."""
    return tuple(_row(found, of) for found in _fields(of))


@cache
def aliases() -> Mapping[str, str]:
    """{older path: path} of every parameter that was once called otherwise."""
    return {
        older: found.path
        for of in (UNIVERSAL, *BACKENDS)
        for found in _fields(of)
        for older in _older(found.info, of)
    }


@cache
def removed() -> Mapping[str, str]:
    """{path: what to use instead} of what engines no longer have."""
    return _GONE | {
        f"{backend}.{name}": instead
        for backend in BACKENDS
        for name, instead in _section(backend).removed.items()
    }


def native(backend: str) -> Mapping[str, str]:
    """The engine's own objects that targets speak of, as `module:attribute`."""
    return _section(backend).native


def versions(backend: str) -> str:
    """The versions of the engine that its parameters were written for."""
    return next(one.range for one in packages() if one.engine == backend)


def not_covered(backend: str) -> Mapping[str, tuple[str, ...]]:
    """What the engine takes and is no parameter, by reason."""
    return _section(backend).not_covered


def homes(name: str) -> list[str]:
    """The paths of all parameters of this name."""
    return [
        found.path
        for of in (UNIVERSAL, *BACKENDS)
        for found in _fields(of)
        if found.name == name
    ]


def schema(of: str) -> dict[str, Any]:
    """The JSON Schema of a section; of the universal ones that of both models."""
    if of != UNIVERSAL:
        return SECTIONS[of].model_json_schema()
    both = [one.model_json_schema() for one in (EngineSpec, Workload)]
    return {"title": UNIVERSAL, "anyOf": both}


def targets(backend: str) -> dict[str, set[str]]:
    """{object: arguments} of the engine that parameters reach, universal ones too."""
    found: dict[str, set[str]] = {name: set() for name in native(backend)}
    for row in (*rows(UNIVERSAL), *rows(backend)):
        name, _, argument = row.targets.get(backend, "").rpartition(".")
        if name in found and argument != "**":
            found[name].add(argument)
    return found


def overridden(backend: str, section: Mapping[str, Any]) -> Iterator[str]:
    """A line for each key of `extra` that a parameter sets already."""
    rows_here = (*rows(UNIVERSAL), *rows(backend)) if section.get("extra") else ()
    homes_of = {
        target: row.path for row in rows_here if (target := row.targets.get(backend))
    }
    for target, path in homes_of.items():
        thing, stars, _ = target.partition(".**")
        given = section["extra"].get(path.rpartition(".")[2], {}) if stars else {}
        for key in given:
            if home := homes_of.get(f"{thing}.{key}"):
                yield f"{path} names {key!r}, which is a parameter: set {home}"


def _section(backend: str) -> type[Section]:
    model = SECTIONS[backend]
    assert issubclass(model, Section)
    return model


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    name: str
    info: FieldInfo
    model: type[BaseModel]


def _fields(of: str) -> Iterator[_Found]:
    models: list[type[BaseModel]] = [EngineSpec, Workload]
    if of != UNIVERSAL:
        models = [SECTIONS[of]]
    for model in models:
        yield from _walk(model, "" if of == UNIVERSAL else f"{of}.")


def _walk(model: type[BaseModel], prefix: str) -> Iterator[_Found]:
    for name, info in model.model_fields.items():
        inner = nested(info.annotation)
        if inner is not None:
            yield from _walk(inner, f"{prefix}{name}.")
        elif info.json_schema_extra is not None:
            yield _Found(prefix + name, name, info, model)


def _group(found: _Found) -> str:
    """What the class that declares a field says of itself, in its first sentence."""
    owner = next(one for one in found.model.__mro__ if _declares(one, found.name))
    return (owner.__doc__ or "").splitlines()[0]


def _declares(model: type, name: str) -> bool:
    return name in vars(model).get("__annotations__", {})


def _about(info: FieldInfo) -> dict[str, Any]:
    extra = info.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def _older(info: FieldInfo, of: str) -> tuple[str, ...]:
    names = _about(info).get("older_names", ())
    return tuple(one[1:] if one.startswith("/") else f"{of}.{one}" for one in names)


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    properties: dict[str, Any] = model.model_json_schema()["properties"]
    return properties


def _row(found: _Found, of: str) -> Row:
    name, info, about = found.name, found.info, _about(found.info)
    kind, limits = _type(_plain(_schema(found.model)[name]))
    target = about.get("target", "")
    by_backend = target if isinstance(target, dict) else {of: target}
    default = info.get_default()
    own = about.get("engine_default", "")
    return Row(
        path=found.path,
        group=_group(found),
        type=kind,
        range=limits,
        meaning=info.description or "",
        engine_default=own or ("" if default is None else str(default).lower()),
        effect=about["effect"],
        targets={backend: _argument(one, name) for backend, one in by_backend.items()},
        older_names=_older(info, of),
        **{
            key: about.get(key, "")
            for key in ("unit", "choices", "advice", "needs", "versions")
        },
    )


def _argument(target: str, name: str) -> str:
    """`object.argument`; an object alone takes the field's own name."""
    known = {one for backend in BACKENDS for one in native(backend)}
    return f"{target}.{name}" if target in known else target


def nested(annotation: Any) -> type[Section] | None:
    """The section that a field holds, if it holds one."""
    if get_origin(annotation) is Annotated:
        return nested(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        found = [nested(one) for one in get_args(annotation)]
        return next(filter(None, found), None)
    inner = isinstance(annotation, type) and issubclass(annotation, Section)
    return annotation if inner else None


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A property's schema without `null`, which stands for unset."""
    options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if not options:
        return schema
    return options[0] if len(options) == 1 else {"anyOf": options}


def _type(schema: dict[str, Any]) -> tuple[str, str]:
    """A JSON Schema's type and range, as people read them."""
    if "anyOf" in schema:
        told = [_type(one) for one in schema["anyOf"]]
        limits = " or ".join(limits or kind for kind, limits in told)
        narrow = any(limits for _, limits in told)
        return " or ".join(dict.fromkeys(k for k, _ in told)), limits if narrow else ""
    if "const" in schema:
        return "choice", str(schema["const"])
    if "enum" in schema:
        return "choice", ", ".join(str(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))[0]}", ""
    bounds = [
        f"{sign} {schema[key]:g}"
        for key, sign in (
            ("minimum", ">="),
            ("exclusiveMinimum", ">"),
            ("maximum", "<="),
            ("exclusiveMaximum", "<"),
        )
        if key in schema
    ]
    words = {"object": "mapping", "string": "text", "integer": "whole number"}
    kind = schema.get("type", "any")
    return words.get(kind, kind), ", ".join(bounds)
