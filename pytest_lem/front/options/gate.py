"""Options of the gate: what is compared with, and what fails."""

from pytest_lem.front.options.values import Option, one_of, truth

GATE_OPTIONS: tuple[Option, ...] = (
    Option(
        name="compare",
        parse=str,
        default=(),
        metavar="REF",
        many=True,
        help="the reference: a JSON report, one for each of its sessions, a label of "
        "the store, or last, its latest sessions; repeatable "
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
        name="allow-incomparable",
        parse=str,
        default=(),
        metavar="KEY",
        many=True,
        help="what may differ from the reference, such as driver; reference lets there "
        "be none; repeatable (default: nothing)",
    ),
    Option(
        name="gate-rule",
        parse=one_of("auto", "prediction", "interleaved"),
        default="auto",
        ini_only=True,
        help="how a change is told from noise: prediction, by the spread of the "
        "reference, interleaved, by sessions run in turn, or auto, in turn where they "
        "were (default: auto)",
    ),
    Option(
        name="inconclusive",
        parse=one_of("pass", "fail"),
        default="pass",
        metavar="MODE",
        help="what a verdict does that cannot be given: pass or fail; --lem-strict "
        "means fail (default: pass)",
    ),
    Option(
        name="update-ref",
        parse=truth,
        default=False,
        help="let the session join the label that --lem-compare names, if nothing is "
        "worse, incomparable or not valid (default: false)",
    ),
    Option(
        name="save-anyway",
        parse=truth,
        default=False,
        help="let --lem-save and --lem-update-ref label also what is not whole, not "
        "valid or a regression (default: false)",
    ),
    Option(
        name="github",
        parse=truth,
        default=False,
        help="in GitHub Actions append verdicts and numbers to the step's summary, and "
        "annotate tests that did not pass their gate (default: false)",
    ),
)
