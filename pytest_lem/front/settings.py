"""What the options say in a session, resolved once to one frozen `Settings`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.front.options import OPTIONS
from pytest_lem.front.options.results import FOLDERS, REPORTS
from pytest_lem.front.options.values import Option
from pytest_lem.front.profiles import PROFILES
from pytest_lem.front.stash import SHARE
from pytest_lem.schedule.resuming import choose

if TYPE_CHECKING:
    from pytest_lem.meters.registry import Registry
    from pytest_lem.spec.presets import Preset

Origin = Literal["cli", "ini", "profile", "default"]


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

    @property
    def profile(self) -> dict[str, Any] | None:
        """The profile's name and the values of it that hold; None without one."""
        name = self["profile"]
        if name is None:
            return None
        held = {
            option: text
            for option, text in PROFILES[name].items()
            if self.origins[option] == "profile"
        }
        return {"name": name, "values": held}

    def says(self, name: str) -> str:
        """How a user would name the place this value came from."""
        option = next(one for one in OPTIONS if one.name == name)
        if self.origins[name] == "profile":
            return f"{option.dest} of the profile {self['profile']}"
        return option.flag if self.origins[name] == "cli" else option.dest


SETTINGS = pytest.StashKey[Settings]()
METERS = pytest.StashKey["Registry"]()
PRESETS = pytest.StashKey["Mapping[str, Preset]"]()


_OF_THE_DRIVER = (
    *("launch", "ship", "plan", "resume", "rebuild-plan", "stop", "max-failures"),
    *("json", "csv", "csv-cycles", "github", "store", "save", "save-anyway"),
    *("compare", "compare-fail", "update-ref", "allow-incomparable"),
)
"""What a session on a node does not heed: it is said to its driver."""


def resolve(config: pytest.Config) -> Settings:
    """The settings of this session; raises UsageError naming option and origin."""
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    said: dict[Origin, dict[str, Any]] = {
        place: {} for place in ("default", "profile", "ini", "cli")
    }
    problems, profile = [], _profile(config)
    for option in OPTIONS:
        places = _raw(config, option, profile)
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
    share = config.stash.get(SHARE, None)
    if share is not None and share.remote:
        ours = (one for one in OPTIONS if one.name in _OF_THE_DRIVER)
        values |= {one.name: one.default for one in ours}
        values["max-failures"] = 0
        origins |= dict.fromkeys(_OF_THE_DRIVER, "default")
    return Settings(values=values, origins=origins, said=said)


def _profile(config: pytest.Config) -> Mapping[str, str]:
    """What the profile says that is asked for; one that there is not says nothing."""
    option = next(one for one in OPTIONS if one.name == "profile")
    asked, _ = _raw(config, option, {})[-1]
    return PROFILES.get(asked, {})


def _raw(
    config: pytest.Config, option: Option, profile: Mapping[str, str]
) -> list[tuple[Any, Origin]]:
    """What each place says of the option; the last of them wins."""
    places: list[tuple[Any, Origin]] = [(None, "default")]
    if option.name in profile:
        places.append((profile[option.name], "profile"))
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
    problems = [*_bad_paths(settings), *_bad_folder(settings), *_bad_page(settings)]
    problems += [*_bad_effort(settings), *_bad_gate(settings)]
    problems += _bad_quality(settings)
    problems += _bad_names(config, settings)
    problems += _bad_store(config, settings)
    problems += _bad_resume(config, settings)
    if problems:
        raise pytest.UsageError(*problems)


def _bad_paths(settings: Settings) -> Iterator[str]:
    for name in REPORTS:
        path = settings[name]
        if path is None:
            continue
        if path.is_dir():
            yield f"{settings.says(name)}={path}: is a directory"
        elif not path.parent.is_dir():
            yield f"{settings.says(name)}={path}: {path.parent} is no directory"
    traces = settings["traces"]
    if traces is not None and traces.exists() and not traces.is_dir():
        yield f"{settings.says('traces')}={traces}: is no directory"


def _bad_page(settings: Settings) -> Iterator[str]:
    if settings["html"] is None:
        return
    from pytest_lem.report.html.libraries import check_libraries

    try:
        check_libraries()
    except ConfigError as error:
        yield f"{settings.says('html')}: {error}"


def _bad_folder(settings: Settings) -> Iterator[str]:
    """A folder is made where it is missing, its parent is not."""
    for name in FOLDERS:
        path = settings[name]
        if path is None or path.is_dir():
            continue
        wrong = path if path.exists() else path.absolute().parent
        if not wrong.is_dir():
            yield f"{settings.says(name)}={path}: {wrong} is no directory"


def _bad_store(config: pytest.Config, settings: Settings) -> Iterator[str]:
    if settings["store"] is None and settings["save"] is None:
        return
    from pytest_lem.front.storing import place_of

    try:
        place_of(settings, config.rootpath)
    except ConfigError as error:
        yield error.message


def _bad_resume(config: pytest.Config, settings: Settings) -> Iterator[str]:
    if settings["resume"] is None:
        if settings["rebuild-plan"]:
            yield f"{settings.says('rebuild-plan')}: say --lem-resume with it"
        return
    try:
        choose(config.rootpath, settings["resume"])
    except ConfigError as error:
        yield f"{settings.says('resume')}: {error}"


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
    if settings["cycles"] == "auto" and settings["ci"] != "t":
        yield (
            f"{settings.says('ci')}={settings['ci']}: cycles that end by their "
            "interval have one of their own; leave it out with --lem-cycles=auto"
        )
    if settings.origins["precision"] == "cli" and settings["cycles"] != "auto":
        yield f"{settings.says('precision')}: say --lem-cycles=auto with it"


def _bad_gate(settings: Settings) -> Iterator[str]:
    for name, needed in (
        ("compare-fail", "compare"),
        ("update-ref", "compare"),
        ("allow-incomparable", "compare"),
        ("save-anyway", "save"),
    ):
        others = settings[needed] or (needed == "save" and settings["update-ref"])
        if settings[name] and settings.origins[name] == "cli" and not others:
            yield f"{settings.says(name)}: say --lem-{needed} with it"
    if not (settings["compare-fail"] or settings["allow-incomparable"]):
        return
    from pytest_lem.gate.limit import Limit, check_allowed

    try:
        check_allowed(settings["allow-incomparable"])
    except ConfigError as error:
        yield f"{settings.says('allow-incomparable')}: {error}"
    for text in settings["compare-fail"]:
        try:
            Limit.parse(text)
        except ConfigError as error:
            yield f"{settings.says('compare-fail')}: {error}"


def _bad_quality(settings: Settings) -> Iterator[str]:
    asked = "perplexity" in settings["quality"]
    if settings.origins["quality-text"] == "cli" and not asked:
        yield f"{settings.says('quality-text')}: say --lem-quality=perplexity with it"
    if settings["quality-file"] is not None:
        from pytest_lem.records.scores import read_scores

        try:
            read_scores(settings["quality-file"])
        except ConfigError as error:
            yield f"{settings.says('quality-file')}: {error}"
    if not asked:
        return
    from pytest_lem.front.conditions import held_out_of

    try:
        held_out_of(settings)
    except ConfigError as error:
        named = settings["quality-text"] is not None
        yield f"{settings.says('quality-text' if named else 'quality')}: {error}"


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
    yield from _bad_presets(config, settings)


def presets_of(config: pytest.Config) -> "Mapping[str, Preset]":
    """The presets there are, also those of the project's own files.

    Raises ConfigError with a line for each file that cannot be.
    """
    if PRESETS not in config.stash:
        from pytest_lem.spec.preset_files import read_presets

        paths = config.stash[SETTINGS]["preset-paths"] or ()
        config.stash[PRESETS] = read_presets(config.rootpath / one for one in paths)
    return config.stash[PRESETS]


def _bad_presets(config: pytest.Config, settings: Settings) -> Iterator[str]:
    if not (settings["preset"] or settings["preset-paths"]):
        return
    from pytest_lem.spec.presets import check_name

    try:
        known = presets_of(config)
    except ConfigError as error:
        yield from (f"lem_preset_paths: {line}" for line in error.message.splitlines())
        return
    for name in settings["preset"] or ():
        try:
            check_name(name, known)
        except ConfigError as error:
            yield f"{settings.says('preset')}: {error}"
