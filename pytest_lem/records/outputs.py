"""What engines said, as `--lem-save-outputs` kept it beside a report."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_lem.analysis.agreement import Said
from pytest_lem.errors import ConfigError
from pytest_lem.records.assemble import complete
from pytest_lem.records.record import Cycle, ExperimentRecord, Record

Key = tuple[str, int]
"""The hash of a window's prompts, and the place of a request among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """An experiment's answers to prompts; of equal ones the first that were made."""

    experiment: str
    backend: str
    said: dict[Key, Said]


def outputs_of(record: Record, path: Path) -> list[Outputs]:
    """Those of the experiments of a report at `path` whose outputs were kept.

    They lie where the record says, or in a folder of that name beside the report.
    Raises ConfigError with a line for a file that is not there, or none of ours.
    """
    found = []
    for one in record.experiments:
        said: dict[Key, Said] = {}
        for cycle in complete(one.cycles):
            for key, answer in _answers(one, cycle, path):
                said.setdefault(key, answer)
        if said:
            backend = str(one.spec["backend"])
            found.append(Outputs(experiment=one.id, backend=backend, said=said))
    return found


def _answers(
    experiment: ExperimentRecord, cycle: Cycle, path: Path
) -> Iterator[tuple[Key, Said]]:
    told = cycle.prompts.get("outputs_path")
    if told is None:
        return
    file = Path(told)
    if not file.exists():
        file = path.parent / file.parent.name / file.name
    windows = {window.index: window.token_sha256 for window in cycle.windows}
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["outcome"] != "completed":
                continue
            said = Said(
                token_ids=row["token_ids"], log_probabilities=row["log_probabilities"]
            )
            yield (windows[row["window"]], row["request"]), said
    except OSError as error:
        msg = f"outputs of {experiment.id} cannot be read: {file}: {error.strerror}"
        raise ConfigError(msg) from error
    except (KeyError, TypeError, ValueError) as error:
        msg = f"outputs of {experiment.id}: {file} has no token ids of each request"
        raise ConfigError(msg) from error
