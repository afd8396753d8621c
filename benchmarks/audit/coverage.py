"""How often each interval holds the true mean, as docs/statistics.md says it does.

`python benchmarks/audit/coverage.py` draws 4000 experiments for each row of the table,
prints what it finds beside what is documented, and fails where they are more than 0.03
apart. About a minute.
"""

import re
import sys
from pathlib import Path

import numpy as np

from pytest_lem.analysis.stats import Statistics, interval

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"
METHODS = ("t", "bootstrap", "bca")
EXPERIMENTS = 4000
TOLERANCE = 0.03
TRUTH = 10.0


def main() -> int:
    """Print the table; 1 where the page is wrong."""
    wrong = False
    print("cycles  method     documented  found")
    for cycles, documented in documented_rows():
        for method, said in zip(METHODS, documented, strict=True):
            found = coverage(Statistics(ci=method), cycles)
            bad = abs(found - said) > TOLERANCE
            wrong |= bad
            mark = "  WRONG" if bad else ""
            print(f"{cycles:>6}  {method:<10} {said:>9.2f} {found:>7.3f}{mark}")
    return int(wrong)


def documented_rows() -> list[tuple[int, list[float]]]:
    """The rows of the page's table: cycles, and the share for each method."""
    number = r" (0\.\d+) \|"
    rows = re.findall(rf"^\| (\d+) \|{number * 3}$", PAGE.read_text(), re.MULTILINE)
    return [(int(cycles), [float(one) for one in shares]) for cycles, *shares in rows]


def coverage(asked: Statistics, cycles: int) -> float:
    """The share of intervals that hold the mean of the law they were drawn of."""
    draws = np.random.default_rng(4).normal(TRUTH, 1.0, size=(EXPERIMENTS, cycles))
    found = [interval(one.tolist(), asked) for one in draws]
    inside = [low <= TRUTH <= high for low, high in found if low is not None]
    return sum(inside) / EXPERIMENTS


if __name__ == "__main__":
    sys.exit(main())
