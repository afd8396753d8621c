"""Options about going on with a session."""

from pytest_lem.front.values import Option, truth
from pytest_lem.schedule.resuming import LAST

PLAN_OPTIONS: tuple[Option, ...] = (
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
