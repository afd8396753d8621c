"""How far experiments agree in what they said: a row for each two of them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, product
from typing import Any

from pytest_lem.analysis.agreement import Agreement, agreement
from pytest_lem.records.outputs import Outputs
from pytest_lem.report.table import number, table, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two experiments that were asked the same, and how far they agree."""

    first: str
    second: str
    found: Agreement

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"first": self.first, "second": self.second, **asdict(self.found)}


def pairs(first: Sequence[Outputs], second: Sequence[Outputs] | None) -> list[Pair]:
    """Each two that have equal prompts: of two reports, or within the first."""
    both: Iterable[tuple[Outputs, Outputs]] = (
        combinations(first, 2) if second is None else product(first, second)
    )
    found = []
    for one, other in both:
        common = [key for key in one.said if key in other.said]
        if common:
            told = agreement((one.said[key], other.said[key]) for key in common)
            found.append(
                Pair(first=one.experiment, second=other.experiment, found=told)
            )
    return found


def lines(found: Sequence[Pair], width: int) -> list[str]:
    """The rows as a table."""
    return table([_row(one) for one in found], width, name="experiments")


def _row(pair: Pair) -> dict[str, str]:
    found = pair.found
    rate = found.match_rate
    return {
        "experiments": visible(f"{pair.first} and {pair.second}"),
        "requests": str(found.requests),
        "identical": str(found.identical),
        "tokens equal": "-" if rate is None else f"{100 * rate:.1f} %",
        "apart after": number(found.first_divergence),
        "log-prob. distance": number(found.log_probability_distance),
    }
