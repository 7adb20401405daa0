"""Who may read what finetui writes: its own files only their owner, what somebody asked for elsewhere whoever they let.

A process of finetui works under the umask 077 (`kept_private`), so that libraries underneath, too, make files that
nobody else can open: checkpoints, converted rows, logs. Files that a person asked for at a place of their choice, and
the hub's cache, which accounts may share, follow the person's own umask: `users_umask` and `released`. Not here: what
is written.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

PRIVATE_UMASK = 0o077
VARIABLE = "FINETUI_UMASK"
"""The umask that the person started finetui with, in octal, for processes that work under the private one."""


@contextlib.contextmanager
def kept_private() -> Iterator[None]:
    """New files and folders, of this process and of those it starts, are their owner's alone. For a whole process."""
    before = os.umask(PRIVATE_UMASK)
    is_first = VARIABLE not in os.environ
    if is_first:
        os.environ[VARIABLE] = f"{before:03o}"
    try:
        yield
    finally:
        os.umask(before)
        if is_first:
            os.environ.pop(VARIABLE, None)


@contextlib.contextmanager
def users_umask() -> Iterator[None]:
    """New files follow the umask that the person started finetui with."""
    theirs = _theirs()
    if theirs is None:
        yield
        return
    before = os.umask(theirs)
    try:
        yield
    finally:
        os.umask(before)


def released(path: Path) -> Path:
    """Give a file, or a folder with all in it, the mode that the person's umask leaves. Links are not followed."""
    theirs = _theirs()
    if theirs is None:  # no kept_private above: this process works under the person's umask
        theirs = os.umask(PRIVATE_UMASK)
        os.umask(theirs)
    inside = sorted(path.rglob("*")) if path.is_dir() and not path.is_symlink() else []
    for each in (path, *inside):
        if not each.is_symlink():
            each.chmod((0o777 if each.is_dir() else 0o666) & ~theirs)
    return path


def make_private(folder: Path) -> Path:
    """The folder, made together with its parents where they lack, for its owner alone. Raises OSError."""
    missing = list(itertools.takewhile(lambda each: not each.exists(), (folder, *folder.parents)))
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process was quicker
            each.mkdir(mode=0o700)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    return folder


def fresh(temporary: Path) -> Path:
    """A predictable name beside a file, freed: to be opened with mode "x", which follows no link that lies in wait."""
    temporary.unlink(missing_ok=True)
    return temporary


def placed(temporary: Path, path: Path) -> None:
    """Give a file that is whole its name, in place of a file or link of that name. Raises OSError.

    Nothing else is replaced: as root, a rename onto /dev/null would take it from the whole machine.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is a folder, a device or a pipe, and no file takes its place", str(path))
    temporary.replace(path)


def _theirs() -> int | None:
    """The umask that was noted, None where none was."""
    noted = os.environ.get(VARIABLE, "")
    return int(noted, 8) & 0o777 if noted and set(noted) <= set("01234567") else None
