"""Requests that did not end as asked: counted by kind, and told in one line.

Standard library only: read by records and in workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

Outcome = Literal[
    "completed",
    "timeout",
    "token_timeout",
    "early_stop",
    "engine_error",
    "cancelled",
]
"""How a request ended.

`timeout`: it took longer than the limit of a request. `token_timeout`: one of its
tokens came later after the one before than the limit of a token. `early_stop`: fewer
tokens than the least that was asked for. `engine_error`: the engine failed in it.
`cancelled`: it was ended, by the engine or with it, for what was not its own fault.
"""

FAILURES: tuple[Outcome, ...] = get_args(Outcome)[1:]
FLAG = "failed_requests"
TEXTS = 5


def counted(requests: Iterable[tuple[Outcome, str | None, int]]) -> dict[str, Any]:
    """Requests by how they ended; each is its outcome, its error and its tokens out.

    `errors` are the first texts that differ. `without_tokens` are failed ones of which
    nothing came: nobody knows how much of their prompts was computed.
    """
    rows = list(requests)
    failed = [row for row in rows if row[0] != "completed"]
    ends = [outcome for outcome, _, _ in rows]
    return {
        "sent": len(rows),
        "completed": len(rows) - len(failed),
        **{kind: ends.count(kind) for kind in FAILURES},
        "without_tokens": sum(not tokens for _, _, tokens in failed),
        "errors": _first(text for _, text, _ in failed if text),
    }


def summed(groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Such counts of several windows as one; `sent` of none is 0."""
    names = ("sent", "completed", *FAILURES, "without_tokens")
    return {
        **{name: sum(one[name] for one in groups) for name in names},
        "errors": _first(text for one in groups for text in one["errors"]),
    }


def failed_share(group: Mapping[str, Any]) -> float:
    """The part of the requests sent that failed; of none it is 0."""
    sent = int(group["sent"])
    return (sent - group["completed"]) / sent if sent else 0.0


def told(group: Mapping[str, Any]) -> str:
    """How many failed, by kind, with the first error."""
    kinds = [f"{group[kind]} {kind}" for kind in FAILURES if group[kind]]
    failed = group["sent"] - group["completed"]
    text = f": {group['errors'][0]}" if group["errors"] else ""
    return f"{failed} of {group['sent']} requests failed ({', '.join(kinds)}){text}"


def _first(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))[:TEXTS]
