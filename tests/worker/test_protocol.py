"""Frames, and what they carry, over real pipes."""

import json
import os
import struct
import threading
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import Completion, GenerateOptions, Generation, Loaded
from pytest_lem.worker import payload, protocol
from pytest_lem.worker.protocol import (
    LIMIT_BYTES,
    PROTOCOL,
    Beat,
    Message,
    ProtocolError,
    VersionMismatch,
    encode,
    receive,
    write,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
COUNT = st.integers(0, 2**40)
SCALARS = st.none() | st.booleans() | INT64 | st.text() | st.floats(allow_nan=False)
JSON = st.recursive(
    SCALARS.filter(lambda x: x not in (float("inf"), float("-inf"))),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=8,
)
TREE = st.dictionaries(st.text(), JSON, max_size=4)
RAGGED = st.lists(st.lists(INT64, max_size=6), max_size=6)


def send(fd, message):
    write(fd, encode(message))


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", 0) as source, os.fdopen(writer, "wb", 0) as sink:
        yield source, sink


def over_a_pipe(message):
    reader, writer = os.pipe()
    try:
        thread = threading.Thread(target=send, args=(writer, message))
        thread.start()
        received = receive(reader)
        thread.join()
    finally:
        os.close(reader)
        os.close(writer)
    return received


@given(
    kind=st.text(),
    number=st.integers(0, 2**53),
    body=TREE,
    arrays=st.dictionaries(
        st.text(), st.lists(INT64, max_size=9).map(lambda x: array("q", x)), max_size=3
    ),
)
def test_a_message_arrives_as_it_was_sent(kind, number, body, arrays):
    """Kind, id, JSON tree and arrays are the same on the other side, in order."""
    message = Message(kind=kind, id=number, body=body, arrays=arrays)
    received = over_a_pipe(message)
    assert received == message
    assert list(received.arrays) == list(arrays)


@given(rows=RAGGED)
def test_ragged_lists_survive_the_flattening(rows):
    """Lists of unequal and zero lengths come back as they were."""
    assert payload.unpack_ragged("ids", payload.pack_ragged("ids", rows)) == rows


@given(
    completions=st.lists(
        st.builds(
            Completion,
            input_tokens=COUNT,
            output_ids=st.lists(INT64, max_size=5),
            finish_reason=st.sampled_from(["length", "stop", "unknown"]),
            sent_ns=COUNT,
            ended_ns=COUNT,
            token_ns=st.lists(COUNT, max_size=5),
        ),
        max_size=4,
    ),
    start_ns=COUNT,
    end_ns=COUNT,
    batches=st.lists(COUNT, max_size=4),
    padding_tokens=COUNT,
    memory=TREE,
    native=TREE,
    work=st.none() | st.lists(st.builds(Work, COUNT, COUNT, COUNT, COUNT), max_size=3),
)
def test_a_generation_survives_the_wire(**fields):
    """Every field of a pass is the same on the other side."""
    generation = Generation(**fields)
    body, arrays = payload.pack_generation(generation)
    received = over_a_pipe(Message(kind="generate", id=1, body=body, arrays=arrays))
    assert payload.unpack_generation(received.body, received.arrays) == generation


@given(
    loaded=st.builds(
        Loaded,
        duration_s=st.floats(0, 1e6),
        effective=TREE,
        model=TREE,
        memory=TREE,
        devices=st.lists(st.text(), max_size=3),
        flags=st.lists(st.text(), max_size=3),
    ),
    options=st.builds(
        GenerateOptions,
        output_tokens=COUNT,
        min_output_tokens=st.none() | COUNT,
        batch_size=COUNT,
        decoder=TREE,
        seed=st.none() | INT64,
        stamps=st.booleans(),
    ),
)
def test_loads_and_options_survive_the_wire(loaded, options):
    """A load's report and the options of a pass are the same on the other side."""
    body = {"loaded": payload.pack_loaded(loaded), "options": options.to_json()}
    received = over_a_pipe(Message(kind="x", body=body)).body
    assert payload.unpack_loaded(received["loaded"]) == loaded
    assert GenerateOptions.from_json(received["options"]) == options


def test_a_beat_survives_the_wire():
    """A sign of life is the same on the other side."""
    beat = Beat(step="load", elapsed_s=1.5, done=0, total=0, rss_mb=12.5)
    assert Beat.from_json(json.loads(json.dumps(beat.to_json()))) == beat


def test_a_message_of_several_megabytes_needs_many_reads():
    """A text and an array far larger than a pipe's buffer arrive whole."""
    numbers = array("q", range(500_000))
    message = Message(kind="x", body={"text": "é" * 2_000_000}, arrays={"n": numbers})
    assert over_a_pipe(message) == message


def test_bytes_that_trickle_in_still_make_a_message(pipe):
    """Short reads are put together."""
    source, sink = pipe
    message = Message(kind="x", id=3, arrays={"n": array("q", [1, -2])})
    frames = encode(message)

    def trickle():
        for byte in frames:
            sink.write(bytes([byte]))

    thread = threading.Thread(target=trickle)
    thread.start()
    assert receive(source.fileno()) == message
    thread.join()


def test_the_end_between_messages_is_no_error(pipe):
    """A pipe closed after a whole message gives the message, then None."""
    source, sink = pipe
    send(sink.fileno(), Message(kind="x"))
    sink.close()
    assert receive(source.fileno()) == Message(kind="x")
    assert receive(source.fileno()) is None


@pytest.mark.parametrize("kept", [2, 4, 20, -3])
def test_the_end_within_a_message_is_an_error(pipe, kept):
    """A message cut in its length, its JSON or its arrays is told as cut."""
    source, sink = pipe
    frames = encode(Message(kind="x", arrays={"n": array("q", [1, 2])}))
    sink.write(frames[:kept])
    sink.close()
    with pytest.raises(ProtocolError, match="ended"):
        receive(source.fileno())


def test_the_end_before_the_arrays_is_an_error(pipe):
    """A message whose announced arrays never come is told as cut."""
    source, sink = pipe
    frames = encode(Message(kind="x", arrays={"n": array("q", [1, 2])}))
    sink.write(frames[: -4 - 16])
    sink.close()
    with pytest.raises(ProtocolError, match="middle of a message"):
        receive(source.fileno())


@pytest.mark.parametrize("text", [b"Traceback (most", b"\nhello", b"\tat x", b"  12 W"])
def test_printed_text_is_never_taken_for_a_frame(pipe, text):
    """Text is refused by its first bytes, without waiting for more."""
    source, sink = pipe
    sink.write(text)
    with pytest.raises(ProtocolError, match="this is no message"):
        receive(source.fileno())


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"nonsense",
        b'{"v":%d,"id":"1","kind":"x","body":{},"arrays":[]}' % PROTOCOL,
        b'{"v":%d,"id":1,"kind":"x","body":{},"arrays":[["n","q"]]}' % PROTOCOL,
    ],
)
def test_a_frame_that_is_no_message_is_refused(pipe, frame):
    """Broken UTF-8, other JSON and missing parts each are a ProtocolError."""
    source, sink = pipe
    sink.write(struct.pack(">I", len(frame)) + frame)
    with pytest.raises(ProtocolError):
        receive(source.fileno())


@pytest.mark.parametrize(
    "described", [["n", "q", 3], ["n", "q", 1], ["n", "d", 2], ["n", "q", -1]]
)
def test_numbers_that_do_not_fit_their_description_are_refused(pipe, described):
    """Wrong counts and unknown types are told, never guessed."""
    source, sink = pipe
    head = {"v": PROTOCOL, "id": 1, "kind": "x", "body": {}, "arrays": [described]}
    for frame in (json.dumps(head).encode(), bytes(16)):
        sink.write(struct.pack(">I", len(frame)) + frame)
    with pytest.raises(ProtocolError):
        receive(source.fileno())


def test_lengths_that_do_not_add_up_are_refused():
    """A ragged list with numbers left over is a ProtocolError."""
    arrays = {"ids": array("q", [1, 2, 3]), "ids_lengths": array("q", [1, 1])}
    with pytest.raises(ProtocolError, match="do not add up"):
        payload.unpack_ragged("ids", arrays)


def test_another_version_is_named(pipe, monkeypatch):
    """A message of another protocol names both versions."""
    source, sink = pipe
    monkeypatch.setattr(protocol, "PROTOCOL", 99)
    send(sink.fileno(), Message(kind="x"))
    monkeypatch.undo()
    with pytest.raises(
        VersionMismatch, match=f"speaks protocol 99, this one {PROTOCOL}"
    ):
        receive(source.fileno())


def test_a_frame_over_the_limit_is_not_sent():
    """What the other side would refuse is refused before it is sent."""
    with pytest.raises(ProtocolError, match="over the limit"):
        encode(Message(kind="x", body={"text": "a" * LIMIT_BYTES}))


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
def test_a_value_without_json_is_named(value):
    """NaN and foreign objects do not pass as something else."""
    with pytest.raises(ProtocolError, match="'x' message holds a value"):
        encode(Message(kind="x", body={"value": value}))
