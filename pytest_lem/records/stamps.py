"""The times of each request of a cycle, as a Parquet file beside the report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from pytest_lem.analysis.requests import Request
from pytest_lem.records.files import replacing


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """The requests of a window, in the order of its prompts."""

    window: int
    kind: str
    requests: Sequence[Request]


def write_stamps(
    windows: Sequence[Stamped], path: Path, head: Mapping[bytes, bytes] | None = None
) -> None:
    """Write a row for each request, whole or not at all; OSError where that fails.

    `head` is what else the file says, in its metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema().with_metadata(head)
    with replacing(path) as draft, pq.ParquetWriter(draft, schema) as writer:
        for one in windows:
            columns = dict(_columns(one))
            writer.write_table(pa.Table.from_pydict(columns, schema=schema))


def read_stamps(path: Path) -> list[Stamped]:
    """The windows that a file has; ValueError where it is none of these files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path, schema=_schema()).to_pylist()
    except pa.ArrowException as error:
        raise ValueError(str(error).splitlines()[0]) from error
    found = groupby(rows, key=lambda row: (row.pop("window"), row.pop("kind")))
    return [
        Stamped(window=window, kind=kind, requests=[Request(**row) for row in rows])
        for (window, kind), rows in found
    ]


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            ("window", pa.int32()),
            ("kind", pa.string()),
            ("input_tokens", pa.int32()),
            ("output_tokens", pa.int32()),
            ("due_ns", pa.int64()),
            ("sent_ns", pa.int64()),
            ("ended_ns", pa.int64()),
            ("finish_reason", pa.string()),
            ("outcome", pa.string()),
            ("left_out", pa.bool_()),
            ("token_ns", pa.list_(pa.int64())),
        ]
    )


def _columns(stamped: Stamped) -> Iterator[tuple[str, list[Any]]]:
    import numpy as np

    done = stamped.requests
    yield "window", [stamped.window] * len(done)
    yield "kind", [stamped.kind] * len(done)
    for name in _schema().names[2:-1]:
        yield name, [getattr(one, name) for one in done]
    yield "token_ns", [np.asarray(one.token_ns, dtype=np.int64) for one in done]
