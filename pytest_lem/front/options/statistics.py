"""Options about intervals over cycles."""

from pytest_lem.front.options.values import Option, one_of, percent

STATISTICS_OPTIONS: tuple[Option, ...] = (
    Option(
        name="ci",
        parse=one_of("t", "bootstrap", "bca"),
        default="t",
        metavar="METHOD",
        help="how intervals over cycles are made: t, bootstrap or bca; the last two "
        "are too narrow below 10 cycles (default: t)",
    ),
    Option(
        name="precision",
        parse=percent,
        default=0.02,
        metavar="PERCENT",
        help="with --lem-cycles=auto: half of the interval of the headline metric, in "
        "percent of its mean, at which cycles end (default: 2)",
    ),
)
