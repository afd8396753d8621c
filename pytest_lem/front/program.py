"""The program of a session: its experiments, what each is, and when each cycle runs."""

import hashlib
import json
from collections.abc import Collection
from contextlib import suppress
from functools import cached_property
from typing import Any, Literal

import pytest

from pytest_lem.errors import ConfigError, EngineNotAvailable
from pytest_lem.front.campaigns import left_out, of_grid, order_of, placed
from pytest_lem.front.interpreters import elsewhere, missing, notes_on, warn
from pytest_lem.front.items import (
    LemConfigWarning,
    backend_of,
    check_load,
    check_times,
    excluded,
    experiment_of,
    is_measured,
    located,
    refusals,
    registry_of,
    takes_backend,
    tell,
)
from pytest_lem.front.launching import misplaced
from pytest_lem.front.searching import check_search, searched
from pytest_lem.front.settings import SETTINGS
from pytest_lem.measure.custom import Work
from pytest_lem.measure.prompting import by_content as files_by_content
from pytest_lem.measure.prompting import recipe
from pytest_lem.schedule.order import derived_seed
from pytest_lem.schedule.plan import Entry, Step, estimate_s, make_plan
from pytest_lem.schedule.planfile import PlanFile
from pytest_lem.spec.demands import Demands
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.experiment import Experiment, identity
from pytest_lem.spec.gaps import Gaps
from pytest_lem.spec.search import Search
from pytest_lem.spec.workload import Workload
from pytest_lem.workload.adapters import fingerprint
from pytest_lem.workload.arrivals import by_times
from pytest_lem.workload.context import LENGTH_KEYS, LONGEST, check_context
from pytest_lem.workload.drafts import by_content
from pytest_lem.workload.models import Model, resolve


class Program:
    """Experiments by node id, their identities, and the order of their cycles."""

    def __init__(
        self,
        *,
        order: str,
        seed: int | Literal["plan"],
        search: Search | None,
        isolation: str,
    ) -> None:
        self.order = order
        self._search = search
        self._seed = seed
        self.isolation = isolation
        self.experiments: dict[str, Experiment] = {}
        self.identities: dict[str, str] = {}
        self._collected: dict[str, str] = {}
        self.items: dict[str, pytest.Item] = {}
        self.skipped: list[dict[str, str]] = []
        self._restored: set[str] = set()
        self.left_out: dict[str, str] = {}
        self._models: dict[tuple[str, str], Model] = {}
        self._adapters: dict[str, dict[str, str]] = {}

    def add(self, item: pytest.Item, experiment: Experiment) -> None:
        """Plan an experiment; raises ConfigError where its model cannot be."""
        found = self._identify(experiment)
        self.identities[experiment.id] = self._collected[experiment.id] = found
        self.experiments[experiment.id] = experiment
        self.items[experiment.id] = item

    def skip(self, item_id: str, reason: str) -> None:
        """Note an experiment that was collected and is not part of the program."""
        self.skipped.append({"experiment_id": item_id, "reason": reason})

    def keep(self, names: Collection[str]) -> None:
        """Leave out all experiments but those of these names."""
        kept = {k: one for k, one in self.experiments.items() if k in names}
        self.experiments = kept
        vars(self).pop("entries", None)  # which may have been counted before

    def demands(self, name: str) -> Demands:
        """What is asked of an experiment's numbers."""
        return self.experiments[name].demands

    def restore(self, plan: PlanFile) -> None:
        """Take in the work that only tests' bodies knew, from an earlier session."""
        for one in plan.experiments:
            if one.found is not None and one.experiment_id in self.experiments:
                self.take_over(one.experiment_id, one.found, one.workload)

    def take_over(
        self, name: str, identity: str, workload: dict[str, Any] | None
    ) -> None:
        """Take in the work that the body of a test was found to do elsewhere."""
        found = Workload.model_validate(workload)
        self.experiments[name] = self.experiments[name].with_workload(found)
        self.identities[name] = identity
        self._restored.add(name)

    def found(self, name: str) -> tuple[str, dict[str, Any]] | None:
        """Identity and work where only the body of a test says them; else None."""
        if self.identities.get(name) == self._collected.get(name):
            return None
        workload = self.experiments[name].workload
        return self.identities[name], workload.model_dump(mode="json")

    def late(self, item_id: str, workload: Workload, cycle: int) -> Experiment:
        """The experiment with the workload that the test's body gave it."""
        item = self.items[item_id]
        late = self.experiments[item_id].with_workload(located(item, workload))
        check_times(late, item.config)
        check_load(late, item.config)
        check_search(late, item.config)
        known, found = self.identities[item_id], self._identify(late)
        if (cycle > 0 or item_id in self._restored) and found != known:
            raise ConfigError(
                f"cycle {cycle} measures other work than cycle 0 (identity {found}, "
                f"was {known}): give lem() the same Workload in every cycle"
            )
        self.identities[item_id] = found
        self.experiments[item_id] = late
        tell(item, late.notes)
        return late

    def counted(self, item_id: str, work: Work, cycle: int) -> None:
        """Take in what a test's own loop counted: the work of all its cycles."""
        planned = self._identify(self.experiments[item_id])
        known, found = self.identities[item_id], loop_identity(item_id, planned, work)
        if (cycle > 0 or item_id in self._restored) and found != known:
            raise ConfigError(
                f"cycle {cycle} counted other work than cycle 0 (identity {found}, was "
                f"{known}): windows, requests and their tokens must be the same in "
                "every cycle"
            )
        self.identities[item_id] = found

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """The measured experiments as the plan sees them, in order of collection."""
        return {
            name: Entry(
                engine=self._load_of(name),
                cycles=one.effort.most_cycles,
                window_s=_window_s(one.effort),
                cold=one.effort.cold_start,
                name=name,
            )
            for name, one in self.experiments.items()
            if is_measured(self.items[name])
        }

    def _load_of(self, name: str) -> str:
        """Equal for experiments that may share a load."""
        one, config = self.experiments[name], self.items[name].config
        able = registry_of(config).find(one.spec.backend).capabilities
        streams = able.streams_apart and one.workload.streaming
        return f"{one.spec.model_dump_json()}{' streaming' if streams else ''}"

    @cached_property
    def steps(self) -> list[tuple[str, int]]:
        """The plan: which experiment's which cycle, in the order they run."""
        names = list(self.entries)
        return [(names[step.position], step.cycle) for step in self._plan]

    @cached_property
    def seed(self) -> int:
        """What orders are drawn by; where that is the plan, its identities.

        They are those of collection: what a test's body asks for changes no order.
        """
        if self._seed != "plan":
            return self._seed
        return derived_seed(self._collected[name] for name in self.entries)

    @property
    def seed_source(self) -> str:
        """Where the seed is from: a setting, or the plan."""
        return "plan" if self._seed == "plan" else "setting"

    def estimate_s(
        self, idle_s: float, idle_after_s: float, floor_s: float, gaps: Gaps
    ) -> float:
        """Roughly how long the plan takes, with idle readings per load and cycle."""
        entries = list(self.entries.values())
        return estimate_s(
            entries,
            self._plan,
            idle_s,
            idle_after_s,
            floor_s=floor_s,
            gaps=gaps,
            by_engine=self.isolation == "spec",
        )

    @cached_property
    def _plan(self) -> list[Step]:
        return make_plan(
            list(self.entries.values()),
            self.order,
            self.seed,
            by_engine=self.isolation == "spec",
        )

    def _identify(self, experiment: Experiment) -> str:
        model = self._model(experiment)
        _check_contexts(model.config, experiment)
        texts = recipe(experiment.workload) if experiment.workload.prompts else None
        spec = experiment.spec
        found = identity(
            spec.model_copy(update={"engine": by_content(spec.engine)}),
            files_by_content(by_times(experiment.workload)),
            model.fingerprint,
            texts["recipe_sha256"] if texts else None,
            self._adapter(spec.adapter),
            self._several(experiment),
        )
        return searched(found, self._search)

    def _model(self, experiment: Experiment) -> Model:
        name, backend = experiment.spec.model, experiment.spec.backend
        if (name, backend) not in self._models:
            self._models[name, backend] = resolve(name, backend=backend)
        return self._models[name, backend]

    def _adapter(self, path: str | None) -> dict[str, str] | None:
        if path is not None and path not in self._adapters:
            self._adapters[path] = fingerprint(path)
        return None if path is None else self._adapters[path]

    def _several(self, experiment: Experiment) -> dict[str, dict[str, str]] | None:
        """The content of vLLM's adapters, by name."""
        paths = experiment.spec.engine.get("adapters")
        if experiment.spec.backend != "vllm" or paths is None:
            return None
        return {name: self._adapter(path) or {} for name, path in paths.items()}


def fill(
    program: Program, config: pytest.Config, found: list[pytest.Item]
) -> list[str]:
    """Put the items' experiments into the program; others leave `found` as deselected.

    Returns a line for each thing that is wrong, of all items together.
    """
    problems = list(refusals(config, found))
    if problems:
        return problems
    _deselect(program, config, found)
    ours = [item for item in found if takes_backend(item)]
    absent = _absent(config, ours)
    invalid: dict[pytest.Item, str] = {}
    for item in ours:
        try:
            experiment = experiment_of(item, config)
            if is_measured(item):
                check_search(experiment, config)
            if reason := absent.get(backend_of(item)):
                program.skip(item.nodeid, reason)
                item.add_marker(pytest.mark.skip(reason=reason))
            else:
                program.add(item, experiment)
        except (ConfigError, LemConfigWarning) as error:
            lines = [placed(item, line) for line in str(error).splitlines()]
            if of_grid(item) and isinstance(error, ConfigError):
                invalid[item] = "; ".join(lines)
            else:
                problems += [f"{item.nodeid}: {line}" for line in lines]
    problems += _leave_out(program, config, ours, invalid)
    problems += misplaced(config, program.experiments.values())
    backends = {backend_of(item) for item in ours} - {*absent}
    problems = problems or list(missing(config, backends))
    if problems:
        return problems
    models = {one.spec.model for one in program.experiments.values()}
    return list(warn(config, notes_on(config, backends, models)))


def _leave_out(
    program: Program,
    config: pytest.Config,
    items: list[pytest.Item],
    invalid: dict[pytest.Item, str],
) -> list[str]:
    """Skip the points of grids that cannot be, and find the order of the session."""
    for item, reason in invalid.items():
        program.skip(item.nodeid, reason)
        item.add_marker(pytest.mark.skip(reason=reason))
    program.left_out = {item.nodeid: reason for item, reason in invalid.items()}
    try:
        program.order = order_of(config, items)
        return list(warn(config, left_out(items, invalid)))
    except ConfigError as error:
        return [error.message]


def _absent(config: pytest.Config, items: list[pytest.Item]) -> dict[str, str]:
    """The backends whose items are skipped since they are not installed, and why."""
    found: dict[str, str] = {}
    if config.stash[SETTINGS]["missing"] == "fail":
        return found
    for name in {backend_of(item) for item in items}:
        # What cannot be asked for, as a Python that is none, is wrong all the same.
        with suppress(ConfigError):
            with suppress(EngineNotAvailable):
                elsewhere(config, name)
            if reason := next(missing(config, [name]), None):
                found[name] = reason
    return found


def _deselect(
    program: Program, config: pytest.Config, found: list[pytest.Item]
) -> None:
    """Take out what is for other backends."""
    ours = (item for item in found if takes_backend(item))
    gone = {item: reason for item in ours if (reason := excluded(item))}
    if not gone:
        return
    config.hook.pytest_deselected(items=[*gone])
    for item, reason in gone.items():
        program.skip(item.nodeid, reason)
    found[:] = [item for item in found if item not in gone]


def loop_identity(item_id: str, planned: str, work: Work) -> str:
    """Identity of a test's own loop: its node id, its engine, and what it counted."""
    what = {"v": 1, "late": item_id, "planned": planned, "counted": work}
    canonical = json.dumps(what, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _window_s(effort: Effort) -> float:
    """What the windows of one cycle take, at the least."""
    least_s = effort.min_seconds if effort.windows == "auto" else 0.0
    return min(effort.max_seconds, least_s)


def _check_contexts(config: dict[str, Any] | None, experiment: Experiment) -> None:
    """Refuse requests that are longer than the model, or the engine as asked, takes."""
    workload, spec = experiment.workload, experiment.spec
    check_context(
        (config or {}).get("max_position_embeddings"), "the model's context", workload
    )
    name = LONGEST.get(spec.backend, "")
    if experiment.provenance.keys() & LENGTH_KEYS:  # else its windows may ask for less
        check_context(spec.engine.get(name), f"{spec.backend}.{name}", workload)
