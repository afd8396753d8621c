"""A YAML file as plain values, refused before it can do harm."""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pytest_lem.errors import ConfigError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPENS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSES = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large a file may be, in bytes, how deep, and how many values it may have.

    Depth and values count what aliases stand for.
    """

    most_bytes: int = 1_000_000
    depth: int = 40
    values: int = 100_000


def read(path: Path, limits: Limits) -> dict[str, Any]:
    """The mapping in a file; raises ConfigError, in one line without the file's name.

    No key may be there twice, and nothing is made but plain values.
    """
    text = _text(path, limits)
    try:
        _check_written(text, limits)
        found = _construct(text, limits)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" in line {mark.line + 1}" if mark else ""
        raise ConfigError(f"is no YAML: {error.problem}{line}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise ConfigError("is empty" if found is None else "is no mapping of keys")
    for key in found:
        if not isinstance(key, str):
            raise ConfigError(f"key {key!r} is no text")
    return found


def _text(path: Path, limits: Limits) -> str:
    """The file's text; what is no file, such as a pipe, is never opened."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ConfigError("is no file")
        with path.open("rb") as file:
            content = file.read(limits.most_bytes + 1)
        if len(content) > limits.most_bytes:
            raise ConfigError(
                f"has {max(facts.st_size, len(content))} bytes; "
                f"lem_max_config_bytes allows {limits.most_bytes}"
            )
        return content.decode()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError("is no UTF-8 text") from error


def _check_written(text: str, limits: Limits) -> None:
    """Look at nesting and number as they are written, one token after another."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if count > 2 * limits.values:
            raise _too_many(limits)
        if isinstance(event, _OPENS):
            depth += 1
        elif isinstance(event, _CLOSES):
            depth -= 1
        if depth > limits.depth:
            raise _too_deep(limits)


def _construct(text: str, limits: Limits) -> Any:
    loader = _LOADER(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _weigh(node, limits, depth=1, known={})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _weigh(
    node: Any, limits: Limits, *, depth: int, known: dict[int, tuple[int, int]]
) -> tuple[int, int]:
    """(values, depth) of a node with aliases written out; each is looked at once."""
    if depth > limits.depth:
        raise _too_deep(limits)
    if id(node) not in known:
        known[id(node)] = 1, limits.depth + 1  # until it is known: it may hold itself
        count, height = 1, 1
        for child in _children(node):
            inner, below = _weigh(child, limits, depth=depth + 1, known=known)
            count, height = count + inner, max(height, below + 1)
            if count > limits.values:
                raise _too_many(limits)
        known[id(node)] = count, height
    count, height = known[id(node)]
    if depth + height > limits.depth + 1:
        raise _too_deep(limits)
    return count, height


def _children(node: Any) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _check_keys(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        name = key.tag, str(key.value)
        if name in seen:
            line = key.start_mark.line + 1
            raise ConfigError(f"has key {key.value!r} twice, again in line {line}")
        seen.add(name)


def _too_deep(limits: Limits) -> ConfigError:
    return ConfigError(f"is nested deeper than {limits.depth} levels")


def _too_many(limits: Limits) -> ConfigError:
    return ConfigError(f"has more than {limits.values} values, aliases written out")
