"""Options about failures that pass, and going on with a session."""

from pytest_lem.front.options.values import Option, number, truth
from pytest_lem.schedule.resuming import LAST

PLAN_OPTIONS: tuple[Option, ...] = (
    Option(
        name="plan",
        parse=truth,
        default=False,
        help="print the plan with counts and estimated time; run nothing "
        "(default: false)",
    ),
    Option(
        name="retries",
        parse=number(int, 0),
        default=0,
        metavar="N",
        help="how often a cycle is tried again whose worker died or fell silent, or "
        "whose GPU was slowed down or used by others, after 2 s, 4 s and so on, at "
        "most 60 s (default: 0)",
    ),
    Option(
        name="resume",
        parse=str,
        default=None,
        bare=LAST,
        metavar="SESSION",
        help="go on with a session that ended early: run what is missing of its plan, "
        "and report all of it; its id below .lem/sessions, or last, which is the last "
        "unfinished one (default: begin a new session; without a value: last)",
    ),
    Option(
        name="rebuild-plan",
        parse=truth,
        default=False,
        help="with --lem-resume: a broken plan is kept as plan.json.bak and made anew "
        "from the results (default: false)",
    ),
)
