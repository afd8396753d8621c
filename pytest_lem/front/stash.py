"""What the plugin keeps on pytest's config and items, by key."""

from typing import Any

import pytest

SESSION = pytest.StashKey[Any]()
"""On the config: the `LemSession`, once something needs it."""

SHARE = pytest.StashKey[Any]()
"""On the config: the `Share` of a session that measures a part of another's."""

CYCLE = pytest.StashKey[int]()
"""On an item: the cycle that runs, from 0."""

CALLS = pytest.StashKey[int]()
"""On an item: how often lem() was called in this cycle."""

LOOP = pytest.StashKey[Any]()
"""On an item: the `CustomCycle` of the windows that its body opens; None before."""

REQUEST = pytest.StashKey[pytest.FixtureRequest]()
"""On an item: what its `lem` fixture may ask other fixtures with, while it runs."""

SILENT = pytest.StashKey[bool]()
"""On an item: this run is not the last and gives no report."""

HELD_BACK = pytest.StashKey[bool]()
"""On an item: the run failed with an assertion, which the last cycle will judge."""

POINT = pytest.StashKey[Any]()
"""On an item of a YAML file: the `Point` that it measures."""

FILE_PROBLEMS = pytest.StashKey[list[str]]()
"""On the config: a line for each thing that is wrong with YAML files."""

ENDED = pytest.StashKey[bool]()
"""On an item: it ended early and has been reported."""

FATES = pytest.StashKey[set[str]]()
"""On an item: how phases of this run ended: failed, skipped or xfailed."""
