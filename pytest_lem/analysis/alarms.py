"""How often a gate calls what did not change a regression: counted, and by its law."""

import math

from pytest_lem.analysis.gating import TEST_LEVEL, Direction

CONFIDENCE = 0.95
_STEPS = 1000


def at_most(alarms: int, of: int) -> float:
    """The upper 95 % bound of a rate, one-sided (Clopper and Pearson 1934).

    Of so many cases that are independent of each other; 1 where there are none.
    """
    from scipy.special import betaincinv

    if alarms >= of:
        return 1.0
    return float(betaincinv(alarms + 1, of - alarms, CONFIDENCE))


def by_law(std: float, reference: int, limit: float, better: Direction) -> float:
    """The rate if sessions are normal in their logarithms and differ by `std`.

    Of one session against so many by prediction interval, with a limit that is a share,
    judged alone. It counts sessions that lie beyond the limit and beyond the interval,
    whose width varies as the reference's own spread does.
    """
    from scipy.special import chdtri, ndtr, stdtrit

    if not std:
        return 0.0
    degrees = reference - 1
    edge = math.log1p(limit) if better == "lower" else -math.log1p(-limit)
    beyond = edge / (std * math.sqrt(1 + 1 / reference))
    t = float(stdtrit(degrees, 1 - TEST_LEVEL))
    places = ((k + 0.5) / _STEPS for k in range(_STEPS))
    widths = (t * math.sqrt(float(chdtri(degrees, p)) / degrees) for p in places)
    return sum(float(ndtr(-max(beyond, width))) for width in widths) / _STEPS
