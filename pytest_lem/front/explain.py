"""What `lem explain` finds out: the experiments that pytest would run; none is run."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_lem.front.campaigns import CampaignFile
from pytest_lem.front.stash import POINT, SESSION
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.files.points import Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The experiments with their identities, and what pytest printed meanwhile.

    `points` are those of YAML files that can be, each with its file, and `left_out`
    has the reasons of those that cannot, by node id.
    `code` is pytest's exit code: where it is not 0, `printed` has the reason, unless it
    went to standard error.
    """

    experiments: Sequence[tuple[str, Experiment]]
    code: int
    printed: str
    points: Sequence[tuple[Path, Point]] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


class _Collector:
    """Notes what the plugin has planned when collection is over.

    It takes any YAML file that is named itself, so that those which others extend can
    be looked at.
    """

    def __init__(self) -> None:
        self.found: list[tuple[str, Experiment]] = []
        self.points: list[tuple[Path, Point]] = []
        self.left_out: Mapping[str, str] = {}

    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> CampaignFile | None:
        """Take what the plugin does not take itself."""
        named = parent.session.isinitpath(file_path)
        if not named or file_path.suffix not in (".yaml", ".yml"):
            return None
        if file_path.name.endswith((".lem.yaml", ".lem.yml")):
            return None
        return CampaignFile.from_parent(parent, path=file_path)

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
            self.left_out = program.left_out
            self.points = [
                (item.path, item.stash[POINT])
                for item in session.items
                if POINT in item.stash and item.nodeid not in program.left_out
            ]


def collect(arguments: Sequence[str]) -> Collected:
    """Collect as `pytest ARGUMENTS` would, in this process."""
    collector, printed = _Collector(), io.StringIO()
    with redirect_stdout(printed):
        code = pytest.main([*arguments, "--collect-only"], plugins=[collector])
    return Collected(
        experiments=collector.found,
        code=int(code),
        printed=printed.getvalue(),
        points=collector.points,
        left_out=collector.left_out,
    )
