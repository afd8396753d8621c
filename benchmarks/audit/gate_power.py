"""How often the gate cries wolf, and how often it sees a change, as docs/gates.md says.

`python benchmarks/audit/gate_power.py [--tests 4000]` draws sessions of five cycles of
three windows, which vary by 1 % from window to window, 1 % from cycle to cycle and 2 %
from session to session, asks the gate, and prints the page's tables.
"""

import argparse
from collections.abc import Iterator, Sequence

import numpy as np

from pytest_lem.analysis.gating import Answer, Question, judge, shift

WINDOW, CYCLE, SESSION = 0.01, 0.01, 0.02
CYCLES, WINDOWS = 5, 3
CHANGES = (0, 2, 3, 5, 7, 10, 15, 20)

Sessions = list[list[float]]


def main() -> None:
    """Print a table for each rule, and how often a suite is red by chance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=4000)
    tests = parser.parse_args().tests
    head = "  ".join(f"{f'+{change} %':>6}" for change in CHANGES)
    print(f"percent of tests called a regression\n{'':<48}{head}")
    for count in (3, 5, 10, 20):
        row(f"1 session against {count}, limit 5 %", tests, (count, 1), 0.05)
    for count in (3, 5, 10):
        for limit in (0.02, 0.05):
            name = f"{count} + {count} in turn, limit {100 * limit:g} %"
            row(name, tests, (count, count), limit, in_turn=True)
    for sizes, in_turn in (((10, 1), False), ((5, 5), True)):
        for limit in (0.0, 0.05):
            red = suites_red(tests // 3, sizes, limit, in_turn=in_turn)
            name = f"{sizes}, limit {100 * limit:g} %"
            print(f"suite of 20 without a change, {name}: red in {100 * red:.1f} %")


def row(
    name: str,
    tests: int,
    sizes: tuple[int, int],
    limit: float,
    *,
    in_turn: bool = False,
) -> None:
    """One rule's share of regressions by how much worse things became."""
    shares = [
        share_of_regressions(tests, sizes, limit, change / 100, in_turn=in_turn)
        for change in CHANGES
    ]
    print(f"{name:<48}" + "  ".join(f"{100 * one:>6.1f}" for one in shares))


def share_of_regressions(
    tests: int,
    sizes: tuple[int, int],
    limit: float,
    change: float,
    *,
    in_turn: bool,
) -> float:
    """Of so many tests, each judged by itself."""
    drawn = questions(tests, sizes, limit, change, in_turn=in_turn)
    answers = [answer for one in drawn for answer in judge([one])]
    return sum(map(is_regression, answers)) / tests


def suites_red(
    suites: int, sizes: tuple[int, int], limit: float, *, in_turn: bool
) -> float:
    """The share of suites of 20 tests in which nothing changed and one is red."""
    red = 0
    drawn = questions(20 * suites, sizes, limit, 0.0, in_turn=in_turn)
    for _ in range(suites):
        suite = [next(drawn) for _ in range(20)]
        red += any(map(is_regression, judge(suite)))
    return red / suites


def is_regression(answer: Answer) -> bool:
    """Whether the gate is red."""
    return answer.verdict == "regression"


def questions(
    tests: int, sizes: Sequence[int], limit: float, change: float, *, in_turn: bool
) -> Iterator[Question]:
    """Tests whose runs are worse by so much, in a cost."""
    rng = np.random.default_rng(5)
    for _ in range(tests):
        old, new = (
            drawn(rng, size, more)
            for size, more in zip(sizes, (0, change), strict=True)
        )
        found = shift(old, new, alternating=in_turn)
        yield Question(shift=found, better="lower", limit=limit)


def drawn(rng: np.random.Generator, sessions: int, change: float) -> Sessions:
    """The cycles of so many sessions."""
    values = rng.normal(0.0, SESSION, size=(sessions, 1, 1))
    values = values + rng.normal(0.0, CYCLE, size=(sessions, CYCLES, 1))
    values = values + rng.normal(0.0, WINDOW, size=(sessions, CYCLES, WINDOWS))
    means: Sessions = ((1 + change) * np.exp(values).mean(axis=2)).tolist()
    return means


if __name__ == "__main__":
    main()
