"""Whether what is said of `--lem-launch` can be, before anything is collected."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_lem.front.options.cluster import CLUSTER_OPTIONS, LOCAL
from pytest_lem.front.replaying import asked
from pytest_lem.front.settings import SETTINGS
from pytest_lem.front.stash import SHARE

if TYPE_CHECKING:
    from pytest_lem.spec.experiment import Experiment


def check_launch(config: pytest.Config) -> None:
    """Raise UsageError with a line for each thing that does not go with it."""
    settings = config.stash[SETTINGS]
    if SHARE in config.stash:
        return
    if settings["launch"] == LOCAL:
        names = (one.name for one in CLUSTER_OPTIONS)
        idle = [name for name in names if settings.origins[name] == "cli"]
        problems = [
            f"{settings.says(name)}: say --lem-launch=ray with it"
            for name in idle
            if name != "launch"
        ]
    else:
        problems = list(_against(config))
    if problems:
        raise pytest.UsageError(*problems)


def misplaced(config: pytest.Config, experiments: "Iterable[Experiment]") -> list[str]:
    """A line where experiments choose among nodes, and there is this machine alone.

    Who only looks at them is told nothing.
    """
    share = config.stash.get(SHARE, None)
    remote = config.stash[SETTINGS]["launch"] != LOCAL or (share and share.remote)
    found = [one for one in experiments if one.placement]
    if remote or not found or config.option.collectonly:
        return []
    more = f" (and {len(found) - 1} more)" if found[1:] else ""
    said = (
        f"{found[0].id}{more}: placement ({found[0].placement}) chooses among nodes of "
        "a cluster: say --lem-launch=ray, or --lem-set placement=null to measure here"
    )
    return [said]


def _against(config: pytest.Config) -> Iterator[str]:
    settings = config.stash[SETTINGS]
    said = settings.says("launch")
    if settings["gpus"]:
        yield f"{settings.says('gpus')}: Ray gives GPUs to its nodes' sessions"
    if settings["traces"]:
        yield f"{settings.says('traces')}: does not go with {said}"
    if asked(config):
        yield f"pytest-benchmark cannot save or compare with {said}"
    if config.option.usepdb or config.option.trace:
        yield f"--pdb, --trace: tests run on other machines with {said}"
    if config.option.capture == "no":
        yield f"-s: what tests print stays on their nodes with {said}"
    started = config.invocation_params.dir
    if settings["ship"] and not started.is_relative_to(config.rootpath):
        yield f"{settings.says('ship')}: start pytest below its rootdir"
