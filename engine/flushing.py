"""Having the disk keep what was written, before anything says that it is there.

A rename survives a cut of power only once its folder was flushed, and contents only once the file was: else a name
may stand for nothing, or for zeros. Not here: what is written (`run_dir`, `checkpoints`).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

NOT_FOR_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
"""What some network filesystems answer who flushes a folder: they keep names as they get them."""


def fsync_file(path: Path) -> None:
    """Have the disk keep a file's contents. Raises OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_folder(folder: Path) -> None:
    """Have the disk keep which files a folder holds. Raises OSError."""
    try:
        fsync_file(folder)
    except OSError as fault:
        if fault.errno not in NOT_FOR_FOLDERS:
            raise


def fsync_tree(folder: Path) -> None:
    """Have the disk keep a folder with all that is in it, the innermost first. Raises OSError."""
    for inner, _, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(inner, name)
            if path.is_file():
                fsync_file(path)
        fsync_folder(Path(inner))
