"""Options of the gate: what is compared with, and what fails."""

from pathlib import Path

from pytest_lem.front.values import Option, one_of

DEFAULT_LIMIT = "energy_per_output_token_j:5%"

GATE_OPTIONS: tuple[Option, ...] = (
    Option(
        name="compare",
        parse=Path,
        default=(),
        metavar="REPORT",
        many=True,
        help="a JSON report of the reference, one for each of its sessions; repeatable "
        "(default: nothing is compared)",
    ),
    Option(
        name="compare-fail",
        parse=str,
        default=(),
        metavar="METRIC:PERCENT",
        many=True,
        help="by how much a metric may be worse than in the reference, before its test "
        "fails; repeatable (default: energy_per_output_token_j, by 5 percent)",
    ),
    Option(
        name="inconclusive",
        parse=one_of("pass", "fail"),
        default="pass",
        metavar="MODE",
        help="what a verdict does that cannot be given: pass or fail; --lem-strict "
        "means fail (default: pass)",
    ),
)
