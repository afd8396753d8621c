"""What `lem matrix` tells people."""

from collections.abc import Iterator, Sequence

from pytest_lem.engines.matrix import STATES, Column
from pytest_lem.report.parameters import NAMES


def lines(columns: Sequence[Column], gpus: Sequence[str]) -> Iterator[str]:
    """A line for each feature with its state on each engine, and what states mean."""
    rows = [["", *(NAMES.get(one.backend, one.backend) for one in columns)]]
    rows.append(["installed here", *(one.version or "no" for one in columns)])
    if any(one.recorded for one in columns):
        rows.append(["recorded", *(", ".join(one.recorded) for one in columns)])
    rows.append(["written for", *(one.written_for for one in columns)])
    for name in ("launch", "cuda", "streaming", "own_batching"):
        told = [getattr(one.capabilities, name, "no engine yet") for one in columns]
        rows.append([name.replace("_", " "), *map(_word, told)])
    rows += [
        [name, *(one.features[name] for one in columns)] for name in columns[0].features
    ]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  ".join(f"{cell:<{wide}}" for cell, wide in cells).rstrip()
    yield ""
    used = {state for one in columns for state in one.features.values()}
    yield from (f"{state}: {told}" for state, told in STATES.items() if state in used)
    yield from (f"{one.backend}: {one.problem}" for one in columns if one.problem)
    yield f"GPUs: {', '.join(gpus) or 'none'}"


def _word(value: object) -> str:
    return {"True": "yes", "False": "no"}.get(str(value), str(value))
