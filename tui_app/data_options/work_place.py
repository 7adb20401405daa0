"""A folder for what a command of `finetui data` sorts on disk; it is gone when the command ends, however it ends."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import DataError


@contextmanager
def work_place(beside: Path | None = None) -> Iterator[Path]:
    """An empty folder, next to the file `beside` or among the temporary files.

    Raises DataError where it cannot be made, and where the disk gets full while it is used.
    """
    parent = beside.parent if beside is not None else Path(tempfile.gettempdir())
    remedy = "Set TMPDIR to a folder with more room." if beside is None else "Make room, or name a file elsewhere."
    try:
        place = tempfile.TemporaryDirectory(prefix="finetui-", dir=parent)
    except OSError as error:
        raise _unwritable(parent, error, remedy) from error
    with place as name:
        try:
            yield Path(name)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise _unwritable(parent, error, remedy) from error


def _unwritable(folder: Path, error: OSError, remedy: str) -> DataError:
    return DataError(
        f"{folder} cannot be written: {error.strerror or error}.",
        means="Rows are compared by what is sorted there, so nothing was done.",
        remedy=remedy,
    )
