"""What people read of stored records: lists, one record, values of metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.errors import ConfigError
from pytest_lem.records.record import ExperimentRecord, Record
from pytest_lem.report.table import GUESSES, NONE, cell, table, visible
from pytest_lem.spec.nearest import unknown
from pytest_lem.store.wanted import Found, Labelled

HEADLINES = {
    "energy_per_output_token_j": "J/token",
    "output_throughput_tps": "tokens/s",
}


def check_metrics(names: Sequence[str]) -> None:
    """Raise ConfigError for a name that is no metric's."""
    for name in names:
        if name not in METRICS:
            raise ConfigError(unknown("metric", name, METRICS))


def listing(found: Sequence[Found], width: int) -> list[str]:
    """One line for each record, the newest first."""
    return table([_row(one, HEADLINES) for one in found], width) if found else []


def named(found: Sequence[Labelled], width: int) -> list[str]:
    """One line for each label."""
    rows = [
        {
            "label": visible(one.label),
            "sessions": str(one.sessions),
            "records": str(one.records),
            "latest": local(one.latest),
        }
        for one in found
    ]
    return table(rows, width)


def values(found: Sequence[Found], metrics: Sequence[str], width: int) -> list[str]:
    """One line for each record, with its values of the metrics, and their units."""
    columns = {name: f"{name} {METRICS[name].unit}" for name in metrics}
    return table([_row(one, columns) for one in found], width) if found else []


def as_json(found: Found) -> dict[str, Any]:
    """A line of `--json`."""
    return asdict(found)


def _row(one: Found, metrics: Mapping[str, str]) -> dict[str, str]:
    return {
        "experiment": visible(
            one.experiment_id.partition("::")[2] or one.experiment_id
        ),
        "record": one.key,
        "identity": one.identity,
        "started": local(one.started_at),
        "backend": visible(one.backend or NONE),
        "model": visible(one.model or NONE),
        **{
            column: cell(one.metrics.get(name), _sign(one, name))
            for name, column in metrics.items()
        },
        "n": str(one.cycles),
        "labels": visible(" ".join(one.labels)) or NONE,
    }


def _sign(one: Found, metric: str) -> str:
    """What stands before energy that nothing measured."""
    guessed = GUESSES.intersection(one.flags) and "J" in METRICS[metric].unit
    return "~" if guessed else ""


def local(moment: str) -> str:
    """A stored time as the clock here says it."""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}"


def shown(found: Found, record: Record, width: int) -> list[str]:
    """One record: what was measured, where, its metrics, and what to know of them."""
    (experiment,) = record.experiments
    about = {
        "record": found.key,
        "experiment": found.experiment_id,
        "identity": found.identity,
        "labels": " ".join(found.labels),
        "session": f"{found.session} ({found.status})",
        "started": local(found.started_at),
        "backend": " ".join(filter(None, [found.backend, found.engine_version])),
        "model": " ".join(filter(None, [found.model, found.precision])),
        "GPU": found.gpu,
        "cycles": _cycles(experiment),
        "flags": " ".join(experiment.flags),
        "verdict": found.verdict,
    }
    lines = [f"{key:<11} {visible(text)}" for key, text in about.items() if text]
    rows = [
        {
            "experiment": name,
            "value": f"{one.value:.6g}",
            "unit": one.unit,
            "interval": NONE
            if one.ci_low is None
            else f"{one.ci_low:.6g} to {one.ci_high:.6g}",
            "n": str(one.n),
        }
        for name, one in experiment.summary.items()
    ]
    return [*lines, *(table(rows, width) if rows else ["no metrics"])]


def _cycles(experiment: ExperimentRecord) -> str:
    """How many counted, and why others did not."""
    done = sum(one.status == "complete" for one in experiment.cycles)
    left = [f"cycle {one['cycle']}: {one['cause']}" for one in experiment.excluded]
    return f"{done} complete" + (f"; not counted: {', '.join(left)}" if left else "")
