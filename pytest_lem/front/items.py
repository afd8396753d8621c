"""From pytest items to experiments: which items count, and what each one says."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.front.settings import SETTINGS, Settings, presets_of
from pytest_lem.front.stash import POINT

if TYPE_CHECKING:
    from pytest_lem.engines.registry import Registry
    from pytest_lem.spec.experiment import Experiment
    from pytest_lem.spec.notes import Note
    from pytest_lem.spec.parameters.prompts import PromptOptions
    from pytest_lem.spec.provenance import Layer
    from pytest_lem.spec.workload import Workload

BACKEND = "lem_backend"


class LemConfigWarning(pytest.PytestWarning):
    """Something in an experiment's settings is taken, and better said otherwise.

    `note` has the parameter's path, the message, its severity and a suggestion.
    """

    def __init__(self, note: "Note") -> None:
        super().__init__(str(note))
        self.note = note


REGISTRY = pytest.StashKey["Registry"]()
TOLD = pytest.StashKey[set["Note"]]()
TYPED = pytest.StashKey["tuple[Layer, ...]"]()


def registry_of(config: pytest.Config) -> "Registry":
    """The engines there are, also those of other plugins and conftest files."""
    if REGISTRY not in config.stash:
        from pytest_lem.engines.registry import Registry

        registry = config.stash[REGISTRY] = Registry()
        config.hook.pytest_lem_register_engines(registry=registry)
    return config.stash[REGISTRY]


def backends_of(config: pytest.Config) -> list[str]:
    """The backends asked for, aliases resolved; raises UsageError for unknown ones."""
    settings = config.stash[SETTINGS]
    try:
        found = [registry_of(config).find(name) for name in settings["backend"]]
    except ConfigError as error:
        raise pytest.UsageError(f"{settings.says('backend')}: {error}") from error
    return list(dict.fromkeys(entry.name for entry in found))


def takes_backend(item: pytest.Item) -> bool:
    """Whether the item uses our `lem` or `engine` fixture, or is of a YAML file."""
    return POINT in item.stash or BACKEND in getattr(item, "fixturenames", ())


def is_measured(item: pytest.Item) -> bool:
    """Whether the item is an experiment: it uses our `lem` fixture, or is in YAML."""
    takes_lem = "lem" in getattr(item, "fixturenames", ())
    return POINT in item.stash or (takes_backend(item) and takes_lem)


def backend_of(item: pytest.Item) -> str:
    """The backend that the item was parametrised with, or that its file names."""
    if POINT in item.stash:
        return str(item.stash[POINT].backend)
    return str(_parameters(item)[BACKEND])


def excluded(item: pytest.Item) -> str | None:
    """Why this item's backend is not to be measured; None where it is.

    The closest marker that lists backends may leave it out; it may list engines that
    this version does not have, and aliases count. So may the command line, of what
    files name.
    """
    point, settings = item.stash.get(POINT, None), item.config.stash[SETTINGS]
    if point and point.named_in and settings.origins["backend"] == "cli":
        asked = point.backend in backends_of(item.config)
        return None if asked else "backend_not_asked_for"
    for marker in item.iter_markers("lem"):
        if "backends" in marker.kwargs:
            listed = marker.kwargs["backends"]
            names = [listed] if isinstance(listed, str) else listed
            entry = registry_of(item.config).find(backend_of(item))
            if not {entry.name, *entry.aliases}.intersection(names):
                return "backend_not_in_marker"
            break
    return None


def stray_markers(items: Sequence[pytest.Item]) -> Iterator[str]:
    """A line for each item marked itself that takes none of our fixtures."""
    for item in items:
        own = any(mark.name == "lem" for mark in item.own_markers)
        if own and not takes_backend(item):
            yield f"{item.nodeid}: is marked lem but takes no `lem` or `engine` fixture"


def experiment_of(item: pytest.Item, config: pytest.Config) -> "Experiment":
    """The item's experiment; raises ConfigError with one line for each problem.

    What had better be said otherwise is told as `tell` does.
    """
    from dataclasses import replace

    from pytest_lem.engines.driven import undriven
    from pytest_lem.gate.budget import BUDGET_KEYS
    from pytest_lem.spec.experiment import plan_experiment

    layers = _layers(item, config.stash[SETTINGS])
    registry = registry_of(config)
    experiment = plan_experiment(
        item.nodeid, layers, registry.names(), presets_of(config), BUDGET_KEYS
    )
    spec = experiment.spec
    driven = registry.find(spec.backend).driven
    wire = spec.model_dump()
    if driven is not None and (left := undriven(wire, driven, section=spec.backend)):
        raise ConfigError("\n".join(left))
    check_times(experiment, config)
    check_chat(experiment, config)
    check_load(experiment, config)
    _check_limits(experiment)
    tell(item, experiment.notes)
    return replace(experiment, workload=located(item, experiment.workload))


def check_times(experiment: "Experiment", config: pytest.Config) -> None:
    """Raise ConfigError for what has no time for each token, where phases are wanted.

    An engine that tells no times at all says so in the record.
    """
    from pytest_lem.spec.combinations import untimed

    if not config.stash[SETTINGS]["phases"]:
        return
    spec = experiment.spec
    if registry_of(config).find(spec.backend).capabilities.streaming == "none":
        return
    if problems := list(untimed(spec, experiment.workload, "--lem-phases")):
        raise ConfigError("\n".join(problems))


def _check_limits(experiment: "Experiment") -> None:
    """Raise ConfigError for a limit that is none."""
    from pytest_lem.gate.limit import Limit

    for text in experiment.demands.compare_fail:
        try:
            Limit.parse(text)
        except ConfigError as error:
            raise ConfigError(f"compare_fail: {error.message}") from error


def check_chat(experiment: "Experiment", config: pytest.Config) -> None:
    """Raise ConfigError for a chat template where the engine has none."""
    name = experiment.spec.backend
    able = registry_of(config).find(name).capabilities.chats
    if experiment.workload.prompt_options.chat_template and not able:
        raise ConfigError(f"prompt_options.chat_template: {name} has no chat templates")


def tell(item: pytest.Item, notes: "Iterable[Note]") -> None:
    """Warn of each note, once in a session, unless nobody wants to hear it."""
    if item.config.stash[SETTINGS]["ignore-backend-warnings"]:
        return
    told = item.config.stash.setdefault(TOLD, set())
    for note in (one for one in notes if one not in told):
        told.add(note)
        item.warn(LemConfigWarning(note))


def check_load(experiment: "Experiment", config: pytest.Config) -> None:
    """Raise ConfigError for requests that the engine would not be sent one by one."""
    backend, registry = experiment.spec.backend, registry_of(config)
    workload = experiment.workload
    known = {name: registry.find(name).capabilities for name in registry.names()}
    opened = [name for name, one in known.items() if one.open_loop]
    closed = [name for name, one in known.items() if one.closed_loop]
    for key, asked, able in (
        ("arrivals", workload.arrivals, opened),
        ("concurrency", workload.concurrency, closed),
    ):
        if asked is not None and backend not in able:
            raise ConfigError(
                f"{key}: {backend} is given all requests of a window at once; "
                f"{', '.join(able)} can be given each by itself"
            )


def located(item: pytest.Item, workload: "Workload") -> "Workload":
    """The workload with its files, if it has any, found beside the test file.

    Raises ConfigError where prompts cannot be read as they are asked for, and where a
    file has too few times of arrival or lengths.
    """
    from pytest_lem.workload.arrivals import schedule
    from pytest_lem.workload.lengths import beside
    from pytest_lem.workload.sources import given

    workload = beside(workload, item.path.parent)
    if workload.prompts is not None:
        path = workload.prompt_file(item.path.parent)
        found = workload.prompts if path is None else str(path)
        options = _templated(item, workload.prompt_options)
        given(found, options, workload.seed)
        changed = {"prompts": found, "prompt_options": options}
        workload = workload.model_copy(update=changed)
    if (arrivals := workload.arrivals) is not None:
        if times := workload.arrival_file(item.path.parent):
            arrivals = arrivals.model_copy(update={"file": str(times)})
            workload = workload.model_copy(update={"arrivals": arrivals})
        schedule(arrivals, workload.most_requests, seed=workload.seed)
    return workload


def _templated(item: pytest.Item, options: "PromptOptions") -> "PromptOptions":
    """The options with the file of a chat template found, and read once."""
    from pytest_lem.workload.prompts import read_text

    if not isinstance(options.chat_template, str):
        return options
    path = str(item.path.parent / options.chat_template)
    read_text(path)
    return options.model_copy(update={"chat_template": path})


def refusals(config: pytest.Config, found: Sequence[pytest.Item]) -> Iterator[str]:
    """What cannot live together with experiments, by name."""
    measured = [item for item in found if is_measured(item)]
    for item in filter(takes_backend, found):
        if POINT not in item.stash and BACKEND not in _parameters(item):
            yield (
                f"{item.nodeid}: methods of unittest.TestCase cannot take `lem` or "
                "`engine`: write a function, or a class without that base"
            )
    if measured and (
        config.getoption("reruns", None)
        or any(item.get_closest_marker("flaky") for item in measured)
    ):
        yield (
            "pytest-rerunfailures repeats only the last cycle, which is no experiment: "
            "leave out --reruns and the flaky marker for lem tests"
        )


def _layers(item: pytest.Item, settings: Settings) -> "Iterator[Layer]":
    from pytest_lem.gate.budget import BUDGET_KEYS
    from pytest_lem.spec.catalogue import aliases
    from pytest_lem.spec.experiment import MARKER_KEYS
    from pytest_lem.spec.nearest import unknown
    from pytest_lem.spec.provenance import Layer

    typed = _typed(item.config)
    yield from typed[:-1]
    point = item.stash.get(POINT, None)
    yield from point.layers if point else ()
    for marker in reversed(list(item.iter_markers("lem"))):
        if marker.args:
            raise ConfigError(f"lem{marker.args!r}: the marker takes only keywords")
        if "backend" in marker.kwargs:
            raise ConfigError(unknown("key", "backend", MARKER_KEYS))
        values = {k: v for k, v in marker.kwargs.items() if k != "backends"}
        yield Layer(origin="marker", values=values)
    keys = {*MARKER_KEYS, *aliases(), *BUDGET_KEYS}
    chosen = {k: v for k, v in _parameters(item).items() if k in keys}
    yield Layer(origin="parametrize", values=chosen)
    yield typed[-1]
    origin: str = settings.origins["backend"]
    if point and point.named_in:
        origin = f"file {point.named_in}"
    yield Layer(origin=origin, values={"backend": backend_of(item)}, older={})


def _typed(config: pytest.Config) -> "tuple[Layer, ...]":
    """What is said of every experiment, by each place; the command line comes last."""
    from pytest_lem.spec.experiment import named

    if TYPED not in config.stash:
        settings = config.stash[SETTINGS]
        origins = ("default", "profile", "ini", "cli")
        said = (named(_said(origin, settings)) for origin in origins)
        config.stash[TYPED] = tuple(said)
    return config.stash[TYPED]


def _said(origin: Any, settings: Settings) -> "Layer":
    from pytest_lem.spec.demands import DEMAND_KEYS
    from pytest_lem.spec.effort import EFFORT_KEYS
    from pytest_lem.spec.provenance import Layer

    given = settings.said[origin]
    keys = {"model", "seed", "preset", *EFFORT_KEYS, *DEMAND_KEYS}
    values = {k.replace("-", "_"): v for k, v in given.items()}
    values = {k: v for k, v in values.items() if k in keys and v not in (None, ())}
    return Layer(origin=origin, values={**values, **_assigned(given.get("set", ()))})


def _assigned(pairs: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
    import yaml

    values: dict[str, Any] = {}
    for key, text in pairs:
        *sections, name = key.split(".")
        place = values
        for section in sections:
            if not isinstance(place.get(section), dict):
                place[section] = {}
            place = place[section]
        place[name] = yaml.safe_load(text)
    return values


def _parameters(item: pytest.Item) -> Mapping[str, Any]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec else {}
