"""What a session is called, and where its files are."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_lem.front.parallel import Share
from pytest_lem.front.settings import Settings
from pytest_lem.schedule.resuming import choose


@dataclass(slots=True, kw_only=True)
class Name:
    """A session's id, when it began, and the folder of its files.

    `process` is no other process's that measures for it, or ever has.
    """

    session: str
    started_at: str
    process: str
    directory: Path


def name_of(config: pytest.Config, settings: Settings, share: Share | None) -> Name:
    """That of this process's session; raises ConfigError where there is none to resume.

    A worker's is its controller's, and one that is gone on with keeps its own.
    """
    now = datetime.now(UTC).astimezone()
    session = process = f"{now:%Y%m%dT%H%M%S}-{os.getpid()}"
    started_at = now.isoformat(timespec="milliseconds")
    sessions = config.rootpath / ".lem" / "sessions"
    directory = sessions / session
    if share is not None:
        session, started_at = share.session, share.started_at
        process = f"{session}-{share.worker}"
        directory = sessions / process
    elif settings["resume"] is not None:
        directory = choose(config.rootpath, settings["resume"])
        session = directory.name
        process = f"{session}-{process}"
    return Name(
        session=session, started_at=started_at, process=process, directory=directory
    )
