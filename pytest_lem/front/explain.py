"""What `lem explain` finds out: the experiments that pytest would run; none is run."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass

import pytest

from pytest_lem.front.stash import SESSION
from pytest_lem.spec.experiment import Experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The experiments with their identities, and what pytest printed meanwhile.

    `code` is pytest's exit code: where it is not 0, `printed` has the reason, unless it
    went to standard error.
    """

    experiments: Sequence[tuple[str, Experiment]]
    code: int
    printed: str


class _Collector:
    """Notes what the plugin has planned when collection is over."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Experiment]] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take the experiments that are left after every other plugin."""
        state = session.config.stash.get(SESSION, None)
        if state is not None:
            program = state.program
            self.found = [
                (program.identities[name], one)
                for name, one in program.experiments.items()
            ]


def collect(arguments: Sequence[str]) -> Collected:
    """Collect as `pytest ARGUMENTS` would, in this process."""
    collector, printed = _Collector(), io.StringIO()
    with redirect_stdout(printed):
        code = pytest.main([*arguments, "--collect-only"], plugins=[collector])
    return Collected(
        experiments=collector.found, code=int(code), printed=printed.getvalue()
    )
