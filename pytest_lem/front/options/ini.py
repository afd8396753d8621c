"""Settings of the configuration file alone: made once and seldom changed."""

from pytest_lem.front.options.values import Option, names, number, one_of, truth

INI_OPTIONS: tuple[Option, ...] = (
    Option(
        name="idle-seconds",
        parse=number(float, 1, most=120),
        default=5.0,
        metavar="S",
        ini_only=True,
        help="length of an idle reading, 1 to 120; the one after the windows is half "
        "as long (default: 5)",
    ),
    Option(
        name="idle-kind",
        parse=one_of("no_context", "context", "model_loaded"),
        default="model_loaded",
        ini_only=True,
        help="the idle state that net energy is without: no_context, context or "
        "model_loaded (default: model_loaded)",
    ),
    Option(
        name="idle-strategy",
        parse=one_of("fresh", "validated", "cached"),
        default="fresh",
        ini_only=True,
        help="fresh: idle power is read before and after the windows; cached: one read "
        "earlier is used; validated: one read earlier that a short reading agrees with "
        "(default: fresh)",
    ),
    Option(
        name="idle-ttl",
        parse=number(float, 0, above=True),
        default=3600.0,
        ini_only=True,
        help="seconds after which a kept idle reading is made anew (default: 3600)",
    ),
    Option(
        name="idle-every",
        parse=number(int, 1),
        default=10,
        ini_only=True,
        help="cycles from one check of a validated idle reading to the next "
        "(default: 10)",
    ),
    Option(
        name="idle-drift-limit",
        parse=number(float, 0, above=True),
        default=2.0,
        ini_only=True,
        help="percent by which idle power may change over a cycle that is to have net "
        "energy (default: 2)",
    ),
    Option(
        name="idle-force",
        parse=truth,
        default=False,
        ini_only=True,
        help="net energy also of a MIG instance and of a GPU that others use, flagged "
        "net_forced (default: false)",
    ),
    Option(
        name="max-uncertainty",
        parse=number(float, 0, above=True),
        default=1.0,
        ini_only=True,
        help="percent of its energy that the uncertainty of a window or cycle may be, "
        "without a flag (default: 1)",
    ),
    Option(
        name="max-failed",
        parse=number(float, 0, most=100),
        default=5.0,
        ini_only=True,
        help="percent of a window's requests that may fail, by a limit of time or in "
        "the engine, before the cycle does (default: 5)",
    ),
    Option(
        name="max-cv",
        parse=number(float, 0, above=True),
        default=10.0,
        ini_only=True,
        help="percent by which the values of cycles may vary (standard deviation over "
        "mean) without the flag unstable (default: 10)",
    ),
    Option(
        name="bootstrap",
        parse=number(int, 100),
        default=1000,
        ini_only=True,
        help="resamples of the intervals of --lem-ci=bootstrap and bca, at least 100; "
        "2000 to publish (default: 1000)",
    ),
    Option(
        name="sample-interval",
        parse=number(float, 0.02),
        default=0.1,
        metavar="S",
        ini_only=True,
        help="seconds between two looks at power, clocks, temperature, memory and "
        "utilisation of a GPU (default: 0.1)",
    ),
    Option(
        name="request-rows",
        parse=number(int, 0),
        default=1000,
        ini_only=True,
        help="requests of a window up to which the record lists each with the energy "
        "attributed to it, and not their distribution alone (default: 1000)",
    ),
    Option(
        name="residual-memory-mb",
        parse=number(float, 0),
        default=2048.0,
        ini_only=True,
        help="MB of GPU memory that an engine's processes may hold after its unload, "
        "more than before its load, without a warning (default: 2048)",
    ),
    Option(
        name="silence-timeout",
        parse=number(float, 0, above=True),
        default=60.0,
        ini_only=True,
        help="seconds that a worker may give no sign of life (default: 60)",
    ),
    Option(
        name="throttle-reruns",
        parse=number(int, 1),
        default=2,
        ini_only=True,
        help="how often at most a cycle is run again with --lem-throttle=rerun "
        "(default: 2)",
    ),
    Option(
        name="container-command",
        parse=str,
        default="auto",
        metavar="COMMAND",
        ini_only=True,
        help="what runs containers: docker, podman, a path to either, or auto, which "
        "is the first of both that works (default: auto)",
    ),
    Option(
        name="preset-paths",
        parse=names,
        default=None,
        metavar="DIR[,DIR]",
        ini_only=True,
        help="directories with presets of the project's own, each a file NAME.yaml of "
        "marker keys (default: none)",
    ),
    Option(
        name="config-root",
        parse=str,
        default=None,
        metavar="DIR",
        ini_only=True,
        help="the folder outside of which YAML files name no others (default: pytest's "
        "rootdir)",
    ),
    Option(
        name="max-config-bytes",
        parse=number(int, 1),
        default=1_000_000,
        ini_only=True,
        help="bytes that a YAML file may have (default: 1000000)",
    ),
    Option(
        name="warmup-unconverged",
        parse=one_of("warn", "fail"),
        default="warn",
        ini_only=True,
        help="what a warm-up that does not converge does: warn or fail (default: warn)",
    ),
)
