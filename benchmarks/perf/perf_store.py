"""How long a store of 10,000 records takes to look something up.

    python benchmarks/perf/perf_store.py [URL] [--records 10000] [--json FILE]

Fills a new store (in a temporary folder, or an empty database at URL) with records of
three cycles, and times what users wait for: the records of one identity, and the last
50 with their headline metrics. Without a URL PostgreSQL is timed as well, if it is
installed: a server in a temporary folder, without a port.
"""

import argparse
import sys
import time
from pathlib import Path

from blank import cycle, record
from paired import Verdict, finish, judge, note
from postgres import databases

from pytest_lem.records.assemble import experiment_record
from pytest_lem.records.record import Record
from pytest_lem.report.results import HEADLINES
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.workload import Workload
from pytest_lem.store.opening import open_store
from pytest_lem.store.place import parse_place
from pytest_lem.store.store import Store
from pytest_lem.store.wanted import Wanted

LOOKUP_MS = 20.0
LIST_MS = 100.0
PER_SESSION = 100
# Each experiment is measured again in every tenth of the sessions.
IDENTITIES = 1000


def report(number: int) -> Record:
    """A session of 100 experiments."""
    names = ("output_throughput_tps", "energy_per_output_token_j", "ttft_p50_ms")
    cycles = [
        cycle(k, metrics=dict.fromkeys(names, 1.0 + number + k)) for k in range(3)
    ]
    experiments = []
    for k in range(PER_SESSION):
        experiment = Experiment(
            id=f"test_it.py::test_it[{k}]",
            spec=EngineSpec(backend="fake"),
            workload=Workload(),
            effort=Effort(),
            provenance={},
        )
        which = (number * PER_SESSION + k) % IDENTITIES
        experiments.append(experiment_record(experiment, f"{which:016x}", cycles))
    started_at = f"2026-01-01T00:{number // 60 % 60:02d}:{number % 60:02d}+00:00"
    return record(experiments, id=f"session-{number}", started_at=started_at)


def timed_ms(store: Store, wanted: list[Wanted], count: int) -> list[float]:
    """The time that each search takes; each finds `count` records."""
    found = []
    for one in wanted:
        began_s = time.perf_counter()
        records = store.find(one, list(HEADLINES))
        found.append((time.perf_counter() - began_s) * 1e3)
        if len(records) != count:
            sys.exit(f"{len(records)} records were found, not {count}")
    return found


def judged(name: str, where: str, records: int) -> tuple[list[Verdict], float]:
    """The store's two figures, and how long a record took to write in ms."""
    store = open_store(parse_place(where, Path.cwd()), create=True)
    began_s = time.perf_counter()
    for number in range(records // PER_SESSION):
        store.put(report(number))
    write_ms = (time.perf_counter() - began_s) * 1e3 / records
    times = records // IDENTITIES
    by_identity = [Wanted(identity=f"{k * 7 % IDENTITIES:016x}") for k in range(200)]
    lookup = timed_ms(store, by_identity, times)
    last = timed_ms(store, [Wanted(limit=50)] * 100, 50)
    store.close()
    return [
        judge(f"{name}: by identity", lookup, unit="ms", limit=LOOKUP_MS),
        judge(f"{name}: the last 50", last, unit="ms", limit=LIST_MS),
    ], write_ms


def main() -> int:
    """Fill, time, and say by the exit status whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", nargs="?", metavar="URL")
    parser.add_argument("--records", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    verdicts, facts = [], {}
    with databases() as places:
        asked = {"URL": arguments.url} if arguments.url else places
        for kind, where in asked.items():
            if where is None:
                note(f"{kind} is not installed: not timed")
                continue
            note(f"{kind}: {arguments.records} records")
            found, write_ms = judged(kind, where, arguments.records)
            verdicts += found
            facts[f"{kind}_write_ms"] = round(write_ms, 2)
    return finish(verdicts, facts=facts, samples={}, path=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
