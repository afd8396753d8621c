"""Experiments in YAML files, `*.lem.yaml`, as items of pytest."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lem.errors import ConfigError, LemError
from pytest_lem.front.items import backends_of, registry_of
from pytest_lem.front.parallel import share_of
from pytest_lem.front.settings import SETTINGS
from pytest_lem.front.stash import CYCLE, FILE_PROBLEMS, POINT
from pytest_lem.schedule.order import ORDERS
from pytest_lem.spec.nearest import unknown
from pytest_lem.spec.notes import Note
from pytest_lem.spec.provenance import merge

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_lem.analysis.sweeping import Rule
    from pytest_lem.spec.files.campaign import Campaign
    from pytest_lem.spec.files.described import Backends
    from pytest_lem.spec.files.inherit import Root
    from pytest_lem.spec.files.points import Point


class CampaignFile(pytest.File):
    """A campaign, or one experiment; `order` is what it asks of the session.

    `stop` are the rules by which its experiments end early. What is wrong with it is
    kept, to be said with all else.
    """

    order: str | None = None
    stop: "tuple[Rule, ...]" = ()

    def collect(self) -> "Iterator[CampaignItem]":
        """An item for each experiment, in the order of the file."""
        try:
            found = self._read()
            self.order, self.stop = found.order, tuple(map(self._rule, found.stop))
            for point in found.points:
                yield CampaignItem.from_parent(self, name=point.name, point=point)
        except ConfigError as error:
            problems = self.config.stash.setdefault(FILE_PROBLEMS, [])
            problems += error.message.splitlines()

    def _rule(self, text: str) -> "Rule":
        from pytest_lem.analysis.sweeping import parse_rule

        try:
            return parse_rule(text)
        except ValueError as error:
            raise ConfigError(f"{shown(self)}: stop={text!r} {error}") from error

    def _read(self) -> "Campaign":
        from pytest_lem.spec.files.campaign import read_campaign

        return read_campaign(
            self.path, root_of(self.config), _backends_for(self.config)
        )


class CampaignItem(pytest.Item):
    """One experiment of a file: no fixture, no body but the measuring itself."""

    def __init__(self, *, point: "Point", **rest: Any) -> None:
        super().__init__(**rest)
        self.stash[POINT] = point

    def runtest(self) -> None:
        """Run one cycle."""
        from pytest_lem.front.session import session_of

        cycle = self.stash.get(CYCLE, 0)
        self.ihook.pytest_lem_cycle_start(item=self, cycle=cycle)
        session_of(self.config).measure(self.nodeid, cycle, None)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> Any:
        """Of what went wrong with the experiment what it says itself."""
        if isinstance(excinfo.value, LemError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple["Path", int, str]:
        """Where it stands; not as a node id, in which pytest takes dots for colons."""
        return self.path, 0, f"{self.path.name}: {self.name}"


def root_of(config: pytest.Config) -> "Root":
    """The folder in which files may name others, and how large they may be.

    Raises ConfigError for one that there is not.
    """
    from pytest_lem.spec.files.inherit import Root
    from pytest_lem.spec.files.reading import Limits

    settings = config.stash[SETTINGS]
    folder = config.rootpath / (settings["config-root"] or ".")
    if not folder.is_dir():
        raise ConfigError(f"lem_config_root={settings['config-root']}: is no directory")
    return Root(
        folder=folder,
        anywhere=settings["config-anywhere"],
        limits=Limits(most_bytes=settings["max-config-bytes"]),
    )


def order_of(config: pytest.Config, items: Iterable[pytest.Item]) -> str:
    """The order of the session: the command line's, a campaign's, or the settings'.

    Raises ConfigError for one that there is not, and where campaigns want several.
    """
    if share_of(config) is not None:
        return "grouped"  # in a worker of xdist cycles can only follow one another
    settings = config.stash[SETTINGS]
    files = [item.parent for item in items if isinstance(item.parent, CampaignFile)]
    asked = {one.order: shown(one) for one in files if one.order is not None}
    if settings.origins["order"] == "cli" or not asked:
        return str(settings["order"])
    for order, name in asked.items():
        if order not in ORDERS:
            raise ConfigError(f"{name}: {unknown('order', order, ORDERS)}")
    if len(asked) > 1:
        said = ", ".join(f"{name} wants {order}" for order, name in asked.items())
        raise ConfigError(f"a session has one order, and {said}: say --lem-order")
    return next(iter(asked))


def rules_of(item: pytest.Item) -> "tuple[Rule, ...]":
    """The rules that the file of an item has; none of a test in Python."""
    return item.parent.stop if isinstance(item.parent, CampaignFile) else ()


def shown(node: pytest.Item | pytest.Collector) -> str:
    """The file of an item, as ids begin."""
    return node.nodeid.partition("::")[0]


def of_grid(item: pytest.Item) -> bool:
    """Whether the item is one of many that a grid makes, some of which may not be."""
    return POINT in item.stash and bool(item.stash[POINT].of_grid)


def placed(item: pytest.Item, line: str) -> str:
    """What is wrong with an item, with the other file that says so, if one does."""
    if POINT not in item.stash:
        return line
    origins = merge(item.stash[POINT].layers)[1]
    found = re.match(r"(?:key ')?([\w.]+)", line)
    path = found[1].rstrip(".") if found else ""
    inside = (one for key, one in origins.items() if key.startswith(f"{path}."))
    origin = origins.get(path) or next(inside, "")
    own = origin in ("", f"file {root_of(item.config).shown(item.path)}")
    return line if own else f"{line} ({origin})"


def left_out(
    items: Iterable[pytest.Item], invalid: Mapping[pytest.Item, str]
) -> "Iterator[Note]":
    """A note on each grid of whose points more than half cannot be.

    Raises ConfigError for one that has none at all.
    """
    points = Counter(shown(item) for item in items if of_grid(item))
    reasons: dict[str, list[str]] = {}
    for item, reason in invalid.items():
        reasons.setdefault(shown(item), []).append(reason)
    for name, found in reasons.items():
        if len(found) == points[name]:
            raise ConfigError(f"{name}: no point of its grid can be: {found[0]}")
        if 2 * len(found) > points[name]:
            yield Note(
                path="vary",
                message=f"{name}: {len(found)} of the {points[name]} points of its "
                "grid cannot be",
                suggestion="-rs says why; vary less, or apart",
            )


def _backends_for(config: pytest.Config) -> "Backends":
    from pytest_lem.gate.budget import BUDGET_KEYS
    from pytest_lem.spec.files.described import Backends

    registry = registry_of(config)
    return Backends(
        names=registry.names(),
        asked=backends_of(config),
        find=lambda name: registry.find(name).name,
        budgets=BUDGET_KEYS,
    )
