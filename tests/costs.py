"""What tests cost: seconds of CPU, with those of the processes they waited for.

`python -m pytest -p tests.costs tests/plugin` ends with a table of files and of the
dearest tests. Unlike `--durations` it tells the same whatever else the machine does.
"""

import os
from collections import Counter

import pytest

SHOWN = 15
NAME = "cpu_s"

_read_s = 0.0


def _cpu_s():
    times = os.times()
    return sum(times[:4])


def pytest_runtest_logstart():
    global _read_s
    _read_s = _cpu_s()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    global _read_s
    report = yield
    now_s = _cpu_s()
    report.user_properties.append((NAME, now_s - _read_s))
    _read_s = now_s
    return report


def pytest_terminal_summary(terminalreporter):
    files, tests = Counter(), Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, cost_s in getattr(report, "user_properties", ()):
                if name == NAME:
                    files[report.nodeid.partition("::")[0]] += cost_s
                    tests[report.nodeid] += cost_s
    terminalreporter.section(f"{sum(files.values()):.1f} s of CPU in tests")
    for costs in (files, tests):
        for name, cost_s in costs.most_common(SHOWN):
            terminalreporter.line(f"{cost_s:8.1f} s  {name}")
        terminalreporter.line("")
