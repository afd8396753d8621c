"""What arguments the objects of an installed engine take, read in another process.

Run as a script it imports the engine; `read` starts it so that its caller does not.
Standard library only, and none of this package, which other interpreters lack.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

TIMEOUT_S = 180.0
_LIMITS = ("ge", "gt", "le", "lt", "min_length", "max_length")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatures:
    """A library: its version, and the arguments of its objects by name.

    `version` is None where it is not installed. `types` has of each argument, where it
    is told, the `type` as text, the `default` or who `made` it, and its `limits`.
    """

    version: str | None
    arguments: Mapping[str, Collection[str]]
    types: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read(targets: Mapping[str, str], python: str = sys.executable) -> Signatures:
    """What there is of these `module:object`s, the library being the first one's.

    `python` need not have this package. Raises EngineNotAvailable with the reason where
    the library is there and fails.
    """
    from pytest_lem.errors import EngineNotAvailable

    try:
        done = subprocess.run(
            [python, "-P", __file__],  # -P: the modules beside it are not the engines
            input=json.dumps(dict(targets)),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        lines = str(getattr(error, "stderr", None) or error).strip().splitlines()
        msg = f"the engine's signatures cannot be read: {lines[-1]}"
        raise EngineNotAvailable(msg) from error
    return Signatures(**json.loads(done.stdout.splitlines()[-1]))


def arguments(thing: Any) -> list[str]:
    """Names that a class, function or model takes, those in its `**kwargs` as well."""
    # What pydantic and msgspec keep of their classes.
    for declared in ("model_fields", "__pydantic_fields__", "__struct_fields__"):
        if fields := getattr(thing, declared, None):
            return _public(fields)
    call = thing.__init__ if inspect.isclass(thing) else thing
    parameters = inspect.signature(call).parameters.values()
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = {one.name for one in parameters if one.kind not in kinds}
    return _public((named | {*_popped(call)}) - {"self", "cls"})


def types(thing: Any) -> dict[str, dict[str, Any]]:
    """What each argument of a class, function or model takes: see `Signatures`."""
    if fields := getattr(thing, "model_fields", None):
        return {name: _field(one) for name, one in fields.items()}
    call = thing.__init__ if inspect.isclass(thing) else thing
    return {
        name: _typed(one.annotation, () if one.default is one.empty else (one.default,))
        for name, one in inspect.signature(call).parameters.items()
        if name not in ("self", "cls") and not name.startswith("_")
    }


def _field(info: Any) -> dict[str, Any]:
    """A field of pydantic's, with its limits; one that is made has the maker's name."""
    made = info.default_factory
    default = () if info.is_required() or made else (info.default,)
    found = _typed(info.annotation, default)
    limits = {
        key: value
        for one in info.metadata
        for key in _LIMITS
        if (value := getattr(one, key, None)) is not None
    }
    return {
        **found,
        **({"made": getattr(made, "__name__", "?")} if made else {}),
        **({"limits": limits} if limits else {}),
    }


def _typed(annotation: Any, default: tuple[Any, ...]) -> dict[str, Any]:
    text = re.sub(r"\b(?:\w+\.)+(?=\w)", "", inspect.formatannotation(annotation))
    told = {"type": text}
    return {**told, "default": _plain(default[0])} if default else told


def _plain(value: Any) -> Any:
    """A default as JSON has it: of a member of an enumeration its name, else text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return getattr(value, "name", value)
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return getattr(value, "name", None) or str(value)


def _public(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith("_"))


def _popped(call: Any) -> Iterator[str]:
    """The keys that a function takes out of its `**kwargs`, read from its source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(call)))
    except (OSError, TypeError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="kwargs"), attr="pop" | "get"),
                args=[ast.Constant(value=str(name)), *_],
            ) if not name.startswith("_"):
                yield name


def _lookup(target: str) -> Any:
    module, _, path = target.partition(":")
    thing: Any = importlib.import_module(module)
    for name in path.split("."):
        thing = getattr(thing, name)
    return thing


def _version(library: str) -> str | None:
    if importlib.util.find_spec(library) is None:
        return None
    owners = importlib.metadata.packages_distributions().get(library, [library])
    try:
        return importlib.metadata.version(owners[0])
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def main() -> None:
    """Answer the targets on standard input with one line of JSON."""
    targets: dict[str, str] = json.load(sys.stdin)
    version = _version(next(iter(targets.values())).partition(":")[0].split(".")[0])
    found, typed = {}, {}
    for name, target in targets.items() if version else ():
        try:
            thing = _lookup(target)
            found[name], typed[name] = arguments(thing), types(thing)
        except (ImportError, AttributeError):
            continue
    told = {"version": version, "arguments": found, "types": typed}
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main()
