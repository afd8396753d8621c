"""What passes between pytest and a worker: frames on a pipe, and nothing else.

A frame is a 4-byte big-endian length and that many bytes. A message is one frame of
UTF-8 JSON `{v, id, kind, body, arrays}`; where `arrays` names any, their numbers
follow together in one raw binary frame (little-endian). Standard library only.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from io import TextIOWrapper
from typing import Any, TypeAlias

from pytest_lem.errors import LemError

PROTOCOL = 3

# Below the length that any text would spell, so stray text never passes for a frame.
LIMIT_BYTES = 1 << 27

Arrays: TypeAlias = "dict[str, array[int]]"

_LENGTH = struct.Struct(">I")
TYPECODE = "q"


class ProtocolError(LemError):
    """What came over the pipe is not a message of this protocol."""

    kind = "protocol"


class VersionMismatch(ProtocolError):
    """The other side speaks another version of the protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing said; an answer carries the `id` of its request, a heartbeat 0."""

    kind: str
    id: int = 0
    body: dict[str, Any] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A sign of life: the step the worker is in, and how far it is.

    `done` of `total` batches are finished while it generates, else both are 0;
    `rss_mb` is the resident memory of the worker's main process.
    """

    step: str
    elapsed_s: float
    done: int
    total: int
    rss_mb: float

    def to_json(self) -> dict[str, Any]:
        """Plain values for the wire."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Beat:
        """The beat as `to_json` wrote it."""
        return cls(**data)


def take_pipes() -> tuple[int, int]:
    """Keep standard input and output, to read and to write messages, for oneself.

    What is read from them from now on is nothing; what is written lands in the log.
    """
    reader, writer = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return reader, writer


def encode(message: Message) -> bytes:
    """The message's frames; ProtocolError where it has no JSON or is too long."""
    head = {
        "v": PROTOCOL,
        "id": message.id,
        "kind": message.kind,
        "body": message.body,
        "arrays": [[k, a.typecode, len(a)] for k, a in message.arrays.items()],
    }
    try:
        text = json.dumps(head, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        msg = f"a {message.kind!r} message holds a value that JSON cannot: {error}"
        raise ProtocolError(msg) from error
    frames = _frame(text.encode())
    if message.arrays:
        frames += _frame(b"".join(map(_to_bytes, message.arrays.values())))
    return frames


def write(fd: int, frames: bytes) -> None:
    """Write encoded frames, all of them; see to it that only one thread writes."""
    rest = memoryview(frames)
    while rest:
        rest = rest[os.write(fd, rest) :]


def receive(fd: int) -> Message | None:
    """The next message, or None where the pipe ended between two messages."""
    frame = _read_frame(fd)
    if frame is None:
        return None
    head = _parse_head(frame)
    arrays: Arrays = {}
    if head["arrays"]:
        data = _read_frame(fd)
        if data is None:
            msg = "the pipe ended in the middle of a message"
            raise ProtocolError(msg)
        arrays = _split(data, head["arrays"])
    return Message(kind=head["kind"], id=head["id"], body=head["body"], arrays=arrays)


def _frame(data: bytes) -> bytes:
    if len(data) > LIMIT_BYTES:
        msg = f"a frame of {len(data)} bytes is over the limit of {LIMIT_BYTES}"
        raise ProtocolError(msg)
    return _LENGTH.pack(len(data)) + data


def _read_frame(fd: int) -> bytearray | None:
    prefix = _read_exactly(fd, _LENGTH.size, may_end=True)
    if prefix is None:
        return None
    (length,) = _LENGTH.unpack(prefix)
    if length > LIMIT_BYTES:
        msg = (
            f"a frame that starts with {bytes(prefix)!r} would be {length} bytes, "
            f"over the limit of {LIMIT_BYTES}: this is no message"
        )
        raise ProtocolError(msg)
    return _read_exactly(fd, length)


def _read_exactly(fd: int, size: int, *, may_end: bool = False) -> bytearray | None:
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        count = os.readv(fd, [rest])
        if count == 0:
            if may_end and len(rest) == size:
                return None
            msg = f"the pipe ended {len(rest)} bytes before the end of a frame"
            raise ProtocolError(msg)
        rest = rest[count:]
    return data


def _parse_head(frame: bytearray) -> dict[str, Any]:
    try:
        head = json.loads(frame.decode())
    except ValueError as error:
        msg = f"a frame that starts with {bytes(frame[:40])!r} is not JSON"
        raise ProtocolError(msg) from error
    if not isinstance(head, dict) or "v" not in head:
        msg = f"a frame that starts with {bytes(frame[:40])!r} is not a message"
        raise ProtocolError(msg)
    if head["v"] != PROTOCOL:
        msg = f"the other side speaks protocol {head['v']!r}, this one {PROTOCOL}"
        raise VersionMismatch(msg)
    shape = {"id": int, "kind": str, "body": dict, "arrays": list}
    wrong = [k for k, kind in shape.items() if not isinstance(head.get(k), kind)]
    if wrong or not all(map(_is_description, head["arrays"])):
        msg = f"a message without a proper {' or '.join(wrong or ['arrays'])}"
        raise ProtocolError(msg)
    return head


def _is_description(item: object) -> bool:
    return isinstance(item, list) and [type(part) for part in item] == [str, str, int]


def _split(data: bytearray, described: list[Any]) -> Arrays:
    arrays: Arrays = {}
    view, start = memoryview(data), 0
    for name, typecode, count in described:
        if typecode != TYPECODE:
            msg = f"array {name!r} has type {typecode!r}; this protocol has 'q' only"
            raise ProtocolError(msg)
        numbers = array(TYPECODE)
        end = start + count * numbers.itemsize
        if not start <= end <= len(data):
            break
        numbers.frombytes(view[start:end])
        if sys.byteorder == "big":
            numbers.byteswap()
        arrays[name], start = numbers, end
    if start != len(data) or len(arrays) != len(described):
        msg = f"{len(data)} bytes of numbers do not fit the arrays {described}"
        raise ProtocolError(msg)
    return arrays


def _to_bytes(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()
