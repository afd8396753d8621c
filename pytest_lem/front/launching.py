"""Whether what is said of `--lem-launch` can be, before anything is collected."""

from collections.abc import Iterator

import pytest

from pytest_lem.front.options.cluster import CLUSTER_OPTIONS, LOCAL
from pytest_lem.front.replaying import asked
from pytest_lem.front.settings import SETTINGS
from pytest_lem.front.stash import SHARE


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
