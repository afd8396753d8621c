"""One side of a comparison, and what both sides must have in common."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.machine.kind import kind
from pytest_lem.records.assemble import SEVERAL_PLACES
from pytest_lem.records.record import Cycle, ExperimentRecord, Record, Session, Window

WEIGHTS = ("config_sha256", "tokenizer_sha256", "weights_sha256", "fingerprint")
_LATENCIES = ("ttft_", "tpot_", "itl_", "e2e_")
_ABSENT = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """An experiment, the session that ran it, and the machine that it ran on."""

    experiment: ExperimentRecord
    session: Session
    environment: Mapping[str, Any]

    @property
    def backend(self) -> str:
        """The name of its engine."""
        return str(self.experiment.spec["backend"])

    @property
    def cycles(self) -> list[Cycle]:
        """Those that count."""
        return [one for one in self.experiment.cycles if one.status == "complete"]

    @property
    def entry_point(self) -> str | None:
        """What of the engine's own the windows ran on, where it has several."""
        found = self.cycles[0].effective.get("entry_point") if self.cycles else None
        return None if found is None else str(found)

    def values(self, metric: str) -> list[float]:
        """One for each cycle that has it, above zero."""
        told = [cycle.metrics.get(metric) for cycle in self.cycles]
        return [value for value in told if value is not None and value > 0]


def sides(record: Record) -> Iterator[Side]:
    """Each experiment of a report."""
    return (side_of(record, one) for one in record.experiments)


def side_of(record: Record, experiment: ExperimentRecord) -> Side:
    """An experiment with what its report says of session and machine."""
    return Side(
        experiment=experiment,
        session=record.session,
        environment=_machine_of(experiment, record.environment),
    )


def _machine_of(
    one: ExperimentRecord, environment: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The facts of the machine that measured an experiment.

    Those of a cluster are by place; all cycles of an experiment are of one, or of
    places of one kind.
    """
    places: Mapping[str, Mapping[str, Any]] = environment.get("places") or {}
    ran = (it.machine.get("node", {}).get("place") for it in one.cycles[-1:])
    return places.get(next(ran, None) or "", environment)


def asked(side: Side) -> dict[str, Any]:
    """What was asked for, by the keys that users write; effort is no part of it."""
    spec = side.experiment.spec
    model = {
        key: spec["model"].get(key) for key in ("revision", "adapter", "precision")
    }
    section = {f"{side.backend}.{key}": one for key, one in spec["engine"].items()}
    named = {"backend": side.backend, "model": spec["model"]["name"]}
    return {**named, **model, **spec["workload"], **section}


def same(one: Side, other: Side) -> bool:
    """Whether two experiments are one: by identity, or by name."""
    mine, its = one.experiment, other.experiment
    return mine.identity == its.identity or mine.id == its.id


def is_energy(metric: str) -> bool:
    """Whether a metric is made of energy, and so of a meter."""
    unit = METRICS[metric].unit
    return "J" in unit or "W" in unit or unit == "g"


def differences(
    one: Side, other: Side, metric: str, allowed: Collection[str] = ()
) -> list[str]:
    """What keeps two sides from being compared by a metric: keys, with both values.

    What only cycles tell is no difference from a side that has none.
    """
    mine, its = keys(one, metric), keys(other, metric)
    if not (one.cycles and other.cycles):
        common = mine.keys() & its.keys()
        mine, its = ({k: v for k, v in it.items() if k in common} for it in (mine, its))
    return unequal(mine, its, allowed)


def unequal(
    mine: Mapping[str, Any], its: Mapping[str, Any], allowed: Collection[str] = ()
) -> list[str]:
    """Keys that differ, with both values."""
    return [
        f"{key} {mine.get(key, _ABSENT)!r} and {its.get(key, _ABSENT)!r}"
        for key in {**mine, **its}
        if key not in allowed and mine.get(key, _ABSENT) != its.get(key, _ABSENT)
    ]


def keys(side: Side, metric: str) -> dict[str, Any]:
    """What is equal where two runs may be compared, by the names that users see."""
    spec, machine = side.experiment.spec, side.environment
    cycles = side.cycles
    found = {
        "backend": spec["backend"],
        **{f"model.{k}": spec["model"].get(k) for k in ("name", "revision", "adapter")},
        **{f"workload.{key}": value for key, value in spec["workload"].items()},
        **{f"{spec['backend']}.{key}": one for key, one in spec["engine"].items()},
        **kind(machine),
        SEVERAL_PLACES: SEVERAL_PLACES in side.experiment.flags,
        "cold_start": side.experiment.cold,
    }
    if cycles:
        found |= _ran(cycles[0])
        found |= _measured(cycles, metric)
    return found


def _ran(cycle: Cycle) -> dict[str, Any]:
    """What was really run, as far as it says so."""
    window = next((one for one in cycle.windows if one.kind == "energy"), None)
    tokens = window and (window.requests, window.tokens.input, window.tokens.output)
    return {
        "engine": f"{cycle.engine.get('name')} {cycle.engine.get('version')}",
        **{key: cycle.model.get(key) for key in WEIGHTS},
        "resolved_revision": cycle.model.get("revision"),
        **{key: cycle.effective.get(key) for key in ("weights", "precision")},
        "entry_point": cycle.effective.get("entry_point"),
        "recipe_sha256": cycle.prompts.get("recipe_sha256"),
        "work": tokens,
    }


def _measured(cycles: Sequence[Cycle], metric: str) -> dict[str, Any]:
    """How what the metric is made of was measured."""
    windows = [window for cycle in cycles for window in cycle.windows]
    found: dict[str, Any] = {}
    if is_energy(metric):
        told = Counter(_meter(one) for one in windows if one.kind == "energy")
        found["energy"] = told.most_common(1)[0][0] if told else None
    if metric.startswith(_LATENCIES):
        ways = [(w.latency or {}).get("method") for w in windows]
        streamed = [one for one in ways if one == "true_streaming"]
        found["latency"] = next(iter(streamed or ways), None)
    if metric == "perplexity":
        text = cycles[0].quality.perplexity
        found["text"] = text and (text.sha256, text.window_tokens, text.stride_tokens)
    return found


def _meter(window: Window) -> tuple[Any, ...]:
    energy = window.energy
    return energy.meter, energy.basis, tuple(energy.scope), energy.method
