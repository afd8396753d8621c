"""Options about how hard an experiment is measured."""

from pytest_lem.front.options.values import Option, cycles, number, truth, windows

EFFORT_OPTIONS: tuple[Option, ...] = (
    Option(
        name="cycles",
        parse=cycles,
        default=3,
        metavar="N|auto",
        help="complete repetitions of each experiment, 1 to 20; auto: 5 to 20, until "
        "--lem-precision is reached (default: 3)",
    ),
    Option(
        name="cold-start",
        parse=truth,
        default=False,
        help="measure the first pass after a load, in a fresh process for each cycle "
        "and without a warm-up; never compared with a warm one (default: false)",
    ),
    Option(
        name="windows",
        parse=windows,
        default="auto",
        metavar="N|auto",
        help="measured passes per cycle; auto: at least 3, and at least "
        "--lem-min-seconds and 20 counter periods of measured time (default: auto)",
    ),
    Option(
        name="min-seconds",
        parse=number(float, 0, above=True),
        default=1.0,
        metavar="S",
        help="with --lem-windows=auto: measured seconds that a cycle has at least "
        "(default: 1)",
    ),
    Option(
        name="max-seconds",
        parse=number(float, 0, above=True),
        default=10.0,
        metavar="S",
        help="end the windows of a cycle after this many seconds (default: 10)",
    ),
    Option(
        name="warmup",
        parse=str,
        default="cv:0.05,window=5,min=5,max=50",
        metavar="POLICY",
        help="cv:LIMIT,window=N,min=N,max=N, fixed:N, or off "
        "(default: cv:0.05,window=5,min=5,max=50)",
    ),
)
