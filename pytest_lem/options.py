"""Options and their ini twins, resolved once to one frozen `Settings`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.values import (
    assignment,
    names,
    number,
    one_of,
    thermal,
    truth,
    windows,
)

if TYPE_CHECKING:
    from pytest_lem.meters.registry import Registry

Origin = Literal["cli", "ini", "default"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """`--lem-NAME` and `lem_name`; `parse` raises ValueError with what is valid."""

    name: str
    parse: Callable[[str], Any]
    default: Any
    help: str
    metavar: str | None = None
    ini_only: bool = False
    many: bool = False

    @property
    def dest(self) -> str:
        """Name of the ini key and of the option's destination."""
        return "lem_" + self.name.replace("-", "_")

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return f"--lem-{self.name}"


OPTIONS: tuple[Option, ...] = (
    Option(
        name="backend",
        parse=names,
        default=("transformers",),
        metavar="NAME[,NAME]",
        help="inference engines to measure (default: transformers)",
    ),
    Option(
        name="model",
        parse=str,
        default=None,
        metavar="MODEL",
        help="hub id, local path, or synthetic:NAME; overrides markers "
        "(default: synthetic:llama-tiny)",
    ),
    Option(
        name="gpus",
        parse=names,
        default=None,
        metavar="GPU[,GPU]",
        help="GPUs of the run: indices into the visible ones, or UUIDs "
        "(default: the first)",
    ),
    Option(
        name="set",
        parse=assignment,
        default=(),
        metavar="KEY=VALUE",
        many=True,
        help="set a marker key, such as precision=bfloat16 or transformers.device=cpu; "
        "repeatable",
    ),
    Option(
        name="cycles",
        parse=number(int, 1),
        default=3,
        metavar="N",
        help="complete repetitions of each experiment, 1 to 20 (default: 3)",
    ),
    Option(
        name="windows",
        parse=windows,
        default="auto",
        metavar="N|auto",
        help="measured passes per cycle; auto: at least 3, and at least 1 s and 20 "
        "counter periods of measured time (default: auto)",
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
    Option(
        name="order",
        parse=one_of("interleaved", "shuffled", "reversed", "grouped"),
        default="interleaved",
        metavar="ORDER",
        help="interleaved, shuffled, reversed or grouped (default: interleaved)",
    ),
    Option(
        name="seed",
        parse=number(int, 0),
        default=42,
        metavar="N",
        help="seed of order, prompts and sampling (default: 42)",
    ),
    Option(
        name="meter",
        parse=names,
        default=("auto",),
        metavar="NAME[,NAME]",
        help="auto, nvml, rapl, codecarbon, replay:FILE, fake[:WATTS] or none "
        "(default: auto)",
    ),
    Option(
        name="idle",
        parse=one_of("off", "auto", "required"),
        default="auto",
        metavar="MODE",
        help="idle power: off, auto, or required (default: auto)",
    ),
    Option(
        name="thermal",
        parse=thermal,
        default=None,
        metavar="C[,TIMEOUT]",
        help="before each cycle wait until all GPUs of the run are at or below so many "
        "degrees, for at most TIMEOUT seconds, or 600 (default: do not wait)",
    ),
    Option(
        name="throttle",
        parse=one_of("warn", "fail"),
        default="warn",
        metavar="MODE",
        help="what a window does in which heat or the power brake slowed a GPU down: "
        "warn (a flag) or fail the cycle (default: warn)",
    ),
    Option(
        name="timeout",
        parse=number(float, 0, above=True),
        default=600.0,
        metavar="S",
        help="limit of each step of a worker: load, generate (default: 600)",
    ),
    Option(
        name="strict",
        parse=truth,
        default=False,
        help="fallbacks and missing hardware fail instead of being flagged "
        "(default: false)",
    ),
    Option(
        name="plan",
        parse=truth,
        default=False,
        help="print the plan with counts and estimated time; run nothing "
        "(default: false)",
    ),
    Option(
        name="json",
        parse=Path,
        default=None,
        metavar="FILE",
        help="write the report as JSON (default: not written)",
    ),
    Option(
        name="csv",
        parse=Path,
        default=None,
        metavar="FILE",
        help="write one row per experiment as CSV (default: not written)",
    ),
    Option(
        name="carbon-intensity",
        parse=number(float, 0),
        default=None,
        metavar="G_PER_KWH",
        help="g CO2e per kWh, for emissions beside the joules (default: none)",
    ),
    Option(
        name="pue",
        parse=number(float, 1),
        default=1.0,
        metavar="FACTOR",
        help="power usage effectiveness of the building, for emissions (default: 1.0)",
    ),
    Option(
        name="idle-seconds",
        parse=number(float, 1),
        default=5.0,
        metavar="S",
        ini_only=True,
        help="length of an idle reading (default: 5)",
    ),
    Option(
        name="warmup-unconverged",
        parse=one_of("warn", "fail"),
        default="warn",
        ini_only=True,
        help="what a warm-up that does not converge does: warn or fail (default: warn)",
    ),
)

_FLAGS = {"strict", "plan"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every option's effective value, and where it came from.

    `values` and `origins` have one entry for each of `OPTIONS`, by its name. `said`
    has what each place says; of a repeatable option places add up, key by key.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, Origin]
    said: Mapping[Origin, Mapping[str, Any]]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def says(self, name: str) -> str:
        """How a user would name the place this value came from."""
        option = next(one for one in OPTIONS if one.name == name)
        return option.flag if self.origins[name] == "cli" else option.dest


SETTINGS = pytest.StashKey[Settings]()
METERS = pytest.StashKey["Registry"]()


def add_options(parser: pytest.Parser) -> None:
    """Add the option group and the ini twins."""
    group = parser.getgroup("lem", "energy and performance of LLM inference")
    for option in OPTIONS:
        parser.addini(option.dest, option.help, default=None)
        if option.ini_only:
            continue
        extra: dict[str, Any] = {"action": "store", "metavar": option.metavar}
        if option.name in _FLAGS:
            extra = {"action": "store_const", "const": "true"}
        elif option.many:
            extra = {"action": "append", "metavar": option.metavar}
        group.addoption(
            option.flag, dest=option.dest, default=None, help=option.help, **extra
        )


def resolve(config: pytest.Config) -> Settings:
    """The settings of this session; raises UsageError naming option and origin."""
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    said: dict[Origin, dict[str, Any]] = {"default": {}, "ini": {}, "cli": {}}
    problems = []
    for option in OPTIONS:
        places = _raw(config, option)
        for raw, origin in places if option.many else places[-1:]:
            try:
                value = _parsed(option, raw)
            except ValueError as error:
                shown = option.flag if origin == "cli" else f"ini {option.dest}"
                problems.append(f"{shown}={raw!r} {error}")
                continue
            said[origin][option.name] = values[option.name] = value
            origins[option.name] = origin
    if problems:
        raise pytest.UsageError(*problems)
    return Settings(values=values, origins=origins, said=said)


def _raw(config: pytest.Config, option: Option) -> list[tuple[Any, Origin]]:
    """What each place says of the option; the last of them wins."""
    places: list[tuple[Any, Origin]] = [(None, "default")]
    written = config.getini(option.dest)
    if written is not None and written != "":
        places.append((written, "ini"))
    typed = None if option.ini_only else config.getoption(option.dest)
    if typed is not None:
        places.append((typed, "cli"))
    return places


def _parsed(option: Option, raw: Any) -> Any:
    if raw is None:
        return option.default
    if option.many:
        lines = raw if isinstance(raw, list) else str(raw).splitlines()
        return tuple(option.parse(line) for line in lines if line.strip())
    return option.parse(str(raw))


def check(config: pytest.Config, settings: Settings) -> None:
    """Refuse values that can be seen to be wrong before anything is collected."""
    problems = [*_bad_paths(settings), *_bad_effort(settings)]
    problems += _bad_names(config, settings)
    typed = [o.flag for o in OPTIONS if settings.origins[o.name] == "cli"]
    if typed and config.getoption("numprocesses", None):
        problems.append(f"{typed[0]}: {XDIST}")
    if problems:
        raise pytest.UsageError(*problems)


XDIST = (
    "pytest -n measures several experiments at once with the same meters, and their "
    "energy cannot be told apart: run lem tests without -n"
)


def _bad_paths(settings: Settings) -> Iterator[str]:
    for name in ("json", "csv"):
        path = settings[name]
        if path is None:
            continue
        if path.is_dir():
            yield f"{settings.says(name)}={path}: is a directory"
        elif not path.parent.is_dir():
            yield f"{settings.says(name)}={path}: {path.parent} is no directory"


def _bad_effort(settings: Settings) -> Iterator[str]:
    from pytest_lem.spec.effort import Effort, Warmup

    try:
        Warmup.parse(settings["warmup"])
    except ConfigError as error:
        yield f"{settings.says('warmup')}: {error}"
    try:
        Effort(cycles=settings["cycles"])
    except ConfigError as error:
        yield f"{settings.says('cycles')}: {error}"


def meters_of(config: pytest.Config) -> "Registry":
    """The meters there are, also those of other plugins and conftest files."""
    if METERS not in config.stash:
        from pytest_lem.meters.registry import Registry

        registry = config.stash[METERS] = Registry()
        config.hook.pytest_lem_register_meters(registry=registry)
    return config.stash[METERS]


def _bad_names(config: pytest.Config, settings: Settings) -> Iterator[str]:
    """Names are looked up only where somebody wrote some."""
    try:
        if settings.origins["meter"] != "default":
            from pytest_lem.meters.registry import check_names

            check_names(settings["meter"], meters_of(config))
    except ConfigError as error:
        yield f"{settings.says('meter')}: {error}"
