"""How long `lem serve` takes to answer over a store of 100,000 records.

    python benchmarks/perf/perf_serve.py [--records 100000] [--json FILE]

Fills a new store in a temporary folder, starts the real server, and times what users of
a browser wait for, one request after another, as pages and as JSON: lists, by filters
and in orders, and searches by words, some of which no record has. PostgreSQL is timed
as well, if it is installed: a server in a temporary folder, without a port.
"""

import argparse
import http.client
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from paired import Verdict, finish, judge_slow, note, wait_for_calm
from postgres import databases
from stored import BACKENDS, COST, GPUS, IDENTITIES, MODELS, SPEED, fill, identity

LIMIT_MS = 200.0
ASKED = 200
_WAYS = ("/", "/api/records")
_ORDERS = ("-started_at", "started_at", "experiment_id", COST, f"-{SPEED}")


def lists(draw: random.Random) -> dict[str, str]:
    """A list by none or one of the filters, in one of the orders."""
    filters = (
        {},
        {"backend": draw.choice(BACKENDS)},
        {"model": f"meta-llama/Llama-{draw.randrange(MODELS)}B"},
        {"gpu": draw.choice(GPUS)},
        {"label": draw.choice(["main", "v7", "v207"])},
        {"verdict": draw.choice(["pass", "regression"])},
        {"flag": draw.choice(["few_cycles", "throttled"])},
        {"session": f"nightly-{draw.randrange(100)}"},
        {"identity": identity(draw.randrange(IDENTITIES))},
        {"since": "2025-01-03", "until": "2025-01-05"},
    )
    return {**draw.choice(filters), "sort": draw.choice(_ORDERS)}


def searches(draw: random.Random) -> dict[str, str]:
    """A search by one word or two; of some words there is no record."""
    words = (
        f"batch-{draw.randrange(IDENTITIES)}",
        f"llama-{draw.randrange(MODELS)}b vllm",
        f"nightly-{draw.randrange(100)}",
        f"test_{draw.randrange(40)}.py",
        identity(draw.randrange(IDENTITIES))[:6],
        "nothing like it",
    )
    return {"text": draw.choice(words), "sort": draw.choice(_ORDERS)}


@contextmanager
def served(where: str) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server of that store."""
    command = [sys.executable, "-m", "pytest_lem.cli", "serve", "--port=0"]
    process = subprocess.Popen(
        [*command, f"--store={where}"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().partition(" at ")[2].split(" ")[0]
        place = urlsplit(url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port)
        yield connection
        connection.close()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def timed_ms(connection: http.client.HTTPConnection, path: str) -> float:
    """How long an answer takes, whole."""
    began_s = time.perf_counter()
    connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    answer.read()
    took_ms = (time.perf_counter() - began_s) * 1e3
    if answer.status != 200:
        sys.exit(f"{path} was answered by {answer.status}")
    return took_ms


def judged(kind: str, where: str) -> tuple[list[Verdict], dict[str, list[float]]]:
    """The figures of one database."""
    verdicts, samples = [], {}
    with served(where) as connection:
        for way in _WAYS:
            timed_ms(connection, way)
        for name, drawn in (("list", lists), ("search", searches)):
            draw = random.Random(0)  # noqa: S311 - repeatable, no secret
            wait_for_calm()
            connection.close()  # the server did meanwhile; a request opens it again
            found = [
                timed_ms(connection, f"{draw.choice(_WAYS)}?{urlencode(drawn(draw))}")
                for _ in range(ASKED)
            ]
            title = f"{kind}: {name}, 95th percentile"
            verdicts.append(judge_slow(title, found, unit="ms", limit=LIMIT_MS))
            samples[f"{kind}_{name}_ms"] = found
    return verdicts, samples


def main() -> int:
    """Fill, time, and say by the exit status whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000, help="default: 100000")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    verdicts: list[Verdict] = []
    samples: dict[str, list[float]] = {}
    with databases() as places:
        for kind, where in places.items():
            if where is None:
                note(f"{kind} is not installed: not timed")
                continue
            note(f"{kind}: {arguments.records} records")
            fill(where, arguments.records)
            found, times = judged(kind, where)
            verdicts += found
            samples |= times
    return finish(verdicts, facts={}, samples=samples, path=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
