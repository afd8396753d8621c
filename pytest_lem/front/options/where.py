"""Where engines run, and how long anything may take."""

from pytest_lem.front.options.values import (
    Option,
    arguments,
    image,
    interpreter,
    number,
    one_of,
    truth,
)

WHERE_OPTIONS: tuple[Option, ...] = (
    Option(
        name="python",
        parse=interpreter,
        default=(),
        metavar="BACKEND=PATH",
        many=True,
        help="the Python, of another environment, that runs this backend's engine; it "
        "needs pytest-lem without its dependencies beside the engine; repeatable "
        "(default: this one)",
    ),
    Option(
        name="image",
        parse=image,
        default=(),
        metavar="BACKEND[=IMAGE]",
        many=True,
        help="the image in which this backend's engine runs, in a container with the "
        "GPUs of the run; it needs pytest-lem of this version beside the engine; "
        "repeatable (default: none, and of IMAGE lem-BACKEND)",
    ),
    Option(
        name="container",
        parse=one_of("run", "exec"),
        default="run",
        metavar="MODE",
        help="run: a new container for each worker; exec: one for each backend that "
        "lasts as long as the session (default: run)",
    ),
    Option(
        name="container-args",
        parse=arguments,
        default=(),
        metavar="ARGUMENTS",
        help="more arguments for `docker run` or `podman run`, as a shell would read "
        "them (default: none)",
    ),
    Option(
        name="container-privileged",
        parse=truth,
        default=False,
        help="run containers as --privileged, which nothing here needs "
        "(default: false)",
    ),
    Option(
        name="timeout",
        parse=number(float, 0, above=True),
        default=600.0,
        metavar="S",
        help="limit of each step of a worker: load, generate (default: 600)",
    ),
    Option(
        name="start-timeout",
        parse=number(float, 0, above=True),
        default=120.0,
        metavar="S",
        help="limit of a worker's start: its Python, the import of its engine, CUDA "
        "(default: 120)",
    ),
    Option(
        name="session-timeout",
        parse=number(float, 0, above=True),
        default=None,
        metavar="S",
        help="limit of the session, from the end of collection: what runs then fails, "
        "and nothing more is begun (default: none)",
    ),
)
