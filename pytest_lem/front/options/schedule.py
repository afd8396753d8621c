"""Options about what runs when, and how long is waited between."""

from pytest_lem.front.options.values import Option, number, one_of, order_seed
from pytest_lem.front.profiles import PROFILES
from pytest_lem.schedule.order import ORDERS

SCHEDULE_OPTIONS: tuple[Option, ...] = (
    Option(
        name="profile",
        parse=one_of(*PROFILES),
        default=None,
        metavar="NAME",
        help="how hard to measure: quick (a look), ci (for gates) or campaign (for a "
        "night); whatever else is said wins over it (default: none)",
    ),
    Option(
        name="order",
        parse=one_of(*ORDERS),
        default="interleaved",
        metavar="ORDER",
        help="interleaved, shuffled, reversed, latin_square or grouped "
        "(default: interleaved)",
    ),
    Option(
        name="order-seed",
        parse=order_seed,
        default=None,
        metavar="N|plan",
        help="seed of the orders shuffled and latin_square; plan: made of what the "
        "experiments are, so that the same ones have it everywhere "
        "(default: --lem-seed)",
    ),
    Option(
        name="gap",
        parse=number(float, 0),
        default=0.0,
        metavar="S",
        help="seconds to wait between two experiments (default: 0)",
    ),
    Option(
        name="cycle-gap",
        parse=number(float, 0),
        default=0.0,
        metavar="S",
        help="seconds to wait between two passes, or between the cycles of an "
        "experiment that follow one another (default: 0)",
    ),
    Option(
        name="isolation",
        parse=one_of("cycle", "spec", "none"),
        default="cycle",
        metavar="LEVEL",
        help="what has a process of its own: each engine spec in each pass (cycle), "
        "each spec, whose cycles then follow one another (spec), or each backend "
        "(none); no gate judges by the last two (default: cycle)",
    ),
    Option(
        name="max-failures",
        parse=number(int, 0),
        default=10,
        metavar="N",
        help="stop when so many runs of experiments broke in a row, whatever they "
        "assert; 0: never (default: 10)",
    ),
    Option(
        name="thermal-floor",
        parse=number(float, 0),
        default=0.0,
        metavar="S",
        ini_only=True,
        help="seconds to wait after each warm-up, before idle power is read "
        "(default: 0)",
    ),
)
