"""Options about many experiments: what they share, and when a sweep has told enough."""

from typing import Any

from pytest_lem.front.options.values import Option, number, truth


def stop(text: str) -> Any:
    """A rule by which a sweep ends early."""
    from pytest_lem.analysis.sweeping import parse_rule

    return parse_rule(text)


SWEEP_OPTIONS: tuple[Option, ...] = (
    Option(
        name="max-runs",
        parse=number(int, 1),
        default=500,
        metavar="N",
        help="more experiments than this are refused before anything runs "
        "(default: 500)",
    ),
    Option(
        name="allow-large",
        parse=truth,
        default=False,
        help="run however many experiments there are (default: false)",
    ),
    Option(
        name="gpus-per-worker",
        parse=number(int, 1),
        default=1,
        metavar="N",
        help="with pytest -n: how many GPUs each worker gets, of those of --lem-gpus "
        "or of all visible ones; with --lem-launch=ray: how many each session on a "
        "node gets (default: 1)",
    ),
    Option(
        name="stop",
        parse=stop,
        default=(),
        metavar="RULE",
        many=True,
        help="leave out experiments that have not begun: energy:JOULES, when so many "
        "are spent; flat:METRIC,last=3,by=1, when the last 3 of a sweep did not "
        "improve it by 1 percent; dominated:METRIC+METRIC,along=batch_size,by=1, "
        "beyond a batch size that a lower one beats; repeatable (default: none)",
    ),
)
