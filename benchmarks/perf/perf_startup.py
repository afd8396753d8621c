"""What the plugin adds to the start of every pytest session, also of other projects.

    python benchmarks/perf/perf_startup.py [--pairs 40] [--json FILE]

Runs pytest on an empty test file with and without the plugin, in turn; pytest-benchmark
is loaded in both, every other plugin in none.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from paired import finish, judge, note, pairs

LIMIT_MS = 50.0
WITHOUT = ("-p", "no:lem")
WITH = ("-p", "pytest_lem.plugin")


def start_ms(folder: Path, plugin: tuple[str, str]) -> float:
    """Time of one pytest session over an empty file, from start to exit."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "pytest_benchmark.plugin", *plugin, "test_empty.py"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    began_s = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    elapsed_s = time.perf_counter() - began_s
    if done.returncode != 5:  # nothing collected
        sys.exit(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return elapsed_s * 1e3


def main() -> int:
    """Measure, show, and say by the exit status whether the limit holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40, help="default: 40")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_empty.py").write_text("")
        (folder / "pytest.ini").write_text("[pytest]\n")
        for plugin in (WITHOUT, WITH):  # compile and cache what will be imported
            start_ms(folder, plugin)
        note(f"{arguments.pairs} pairs of pytest sessions")
        found = pairs(
            lambda: start_ms(folder, WITHOUT),
            lambda: start_ms(folder, WITH),
            arguments.pairs,
        )
    added = [b - a for a, b in found]
    without, with_plugin = ([pair[side] for pair in found] for side in (0, 1))
    return finish(
        [judge("added to a pytest start", added, unit="ms", limit=LIMIT_MS)],
        facts={
            "without_plugin_ms": round(sorted(without)[len(without) // 2], 1),
            "with_plugin_ms": round(sorted(with_plugin)[len(with_plugin) // 2], 1),
        },
        samples={"without_ms": without, "with_ms": with_plugin},
        path=arguments.json,
    )


if __name__ == "__main__":
    sys.exit(main())
