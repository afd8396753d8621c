"""Options about many experiments: what they share, and when a sweep has told enough."""

from pytest_lem.front.values import Option, number

SWEEP_OPTIONS: tuple[Option, ...] = (
    Option(
        name="gpus-per-worker",
        parse=number(int, 1),
        default=1,
        metavar="N",
        help="with pytest -n: how many GPUs each worker gets, of those of --lem-gpus "
        "or of all visible ones (default: 1)",
    ),
)
