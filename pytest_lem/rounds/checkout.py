"""Where the code of a side lies: a revision checked out for a while, or a directory."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_lem.errors import ConfigError
from pytest_lem.machine.cache import user_cache
from pytest_lem.rounds.signals import undisturbed
from pytest_lem.spec.nearest import unknown

_AS_DIRECTORY = (".", "/", "~")
# Somebody has it, took it away since, or it is no checkout.
_NOT_LEFT = (BlockingIOError, FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a side is made of, as the user said it.

    `commit` is what it has checked out, None outside of git. `directory` is where it
    lies as it is; None for a revision, of which a checkout is made.
    """

    said: str
    commit: str | None
    directory: Path | None

    @property
    def text(self) -> str:
        """What was said, and the commit."""
        return f"{self.said} ({self.commit[:9]})" if self.commit else self.said


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """Code on the disk: its root, and where in it pytest is started."""

    root: Path
    start: Path


def source(said: str, here: Path) -> Source:
    """A directory if it begins as one (`.`, `..`, `/`, `~`), else a revision.

    Raises ConfigError in one line where there is no such thing.
    """
    if not said.startswith(_AS_DIRECTORY):
        return Source(said=said, commit=_commit(said, here), directory=None)
    directory = (here / Path(said).expanduser()).resolve()
    if not directory.is_dir():
        raise ConfigError(f"{said}: is no directory")
    return Source(said=said, commit=_head(directory), directory=directory)


def changes(directory: Path) -> str | None:
    """A hash of what tracked files have that is not committed; None where nothing.

    None outside of git, too: what changes there nobody sees.
    """
    if _head(directory) is None:
        return None
    found = _git(directory, "diff", "--no-ext-diff", "HEAD")
    return hashlib.sha256(found.encode()).hexdigest() if found else None


@contextmanager
def checked_out(
    sources: Sequence[Source], here: Path
) -> Iterator[dict[Source, Checkout]]:
    """The code of each, revisions in worktrees that are gone at the end."""
    with ExitStack() as stack:
        yield {
            one: _as_it_is(one.directory)
            if one.directory
            else stack.enter_context(_worktree(one, here))
            for one in dict.fromkeys(sources)
        }


def _as_it_is(directory: Path) -> Checkout:
    root = directory
    if _head(directory) is not None:
        root = Path(_git(directory, "rev-parse", "--show-toplevel").strip())
    return Checkout(root=root, start=directory)


@contextmanager
def _worktree(one: Source, here: Path) -> Iterator[Checkout]:
    assert one.commit is not None
    with _folder(f"{one.commit[:9]}-") as folder:
        root = _root(folder)
        hooks = ("-c", "core.hooksPath=/dev/null")
        _git(here, *hooks, "worktree", "add", "--detach", str(root), one.commit)
        start = root / _git(here, "rev-parse", "--show-prefix").strip()
        if not start.is_dir():
            raise ConfigError(f"{one.text} has no directory {start.relative_to(root)}")
        yield Checkout(root=root, start=start)


@contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    """A folder for a worktree, ours as long as we live by a lock of the kernel's."""
    above = user_cache() / "checkouts"
    try:
        above.mkdir(parents=True, exist_ok=True)
        with _locked(above, wait=True):
            _sweep(above)
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=above)).resolve()
            ours = _lock(folder, wait=False)
    except OSError as error:
        raise ConfigError(
            f"{above}: {error.strerror}; set LEM_CACHE_DIR to a writable directory"
        ) from error
    try:
        yield folder
    finally:
        with undisturbed():
            _remove(folder)
            os.close(ours)


def _sweep(above: Path) -> None:
    """Remove what is left of those who were killed."""
    for folder in above.iterdir():
        with suppress(*_NOT_LEFT), _locked(folder, wait=False):
            _remove(folder)


def _remove(folder: Path) -> None:
    root = _root(folder)
    ask = ("rev-parse", "--path-format=absolute", "--git-common-dir")
    if root.is_dir() and (common := _try_git(root, *ask)):
        away = ("worktree", "remove", "--force", "--force", str(root))
        _try_git(Path(common.strip()), *away)
    shutil.rmtree(folder, ignore_errors=True)


def _root(folder: Path) -> Path:
    """Named as its folder: .git/worktrees knows it by that, which must be unique."""
    return folder / folder.name


def _lock(folder: Path, *, wait: bool) -> int:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        os.close(held)
        raise
    return held


@contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[None]:
    held = _lock(folder, wait=wait)
    try:
        yield
    finally:
        os.close(held)


def _commit(revision: str, here: Path) -> str:
    if _head(here) is None:
        raise ConfigError(
            f"{revision}: {here} is in no git repository with a commit; a directory "
            "is told by how it begins: ./NAME"
        )
    wanted = f"{revision}^{{commit}}"
    found = _try_git(
        here, "rev-parse", "--verify", "--quiet", "--end-of-options", wanted
    )
    if found is not None:
        # A second line repeats the option in versions of git that do not take it away.
        return found.split()[-1]
    if (here / revision).is_dir():
        raise ConfigError(f"{revision} is no revision; the directory is ./{revision}")
    names = _git(here, "for-each-ref", "--format=%(refname:short)").split()
    raise ConfigError(unknown("revision", revision, [*names, "HEAD"]))


def _head(directory: Path) -> str | None:
    found = _try_git(directory, "rev-parse", "--verify", "--quiet", "HEAD")
    return found.strip() if found is not None else None


def _try_git(directory: Path, *arguments: str) -> str | None:
    """What git printed; None where it refused."""
    done = _run_git(directory, arguments)
    return done.stdout if done.returncode == 0 else None


def _git(directory: Path, *arguments: str) -> str:
    done = _run_git(directory, arguments)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason told"])[-1]
        raise ConfigError(f"git {arguments[0]} in {directory}: {reason}")
    return done.stdout


def _run_git(
    directory: Path, arguments: Sequence[str]
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError as error:
        raise ConfigError(
            "git is not installed: revisions and their states need it"
        ) from error
