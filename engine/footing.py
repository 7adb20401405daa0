"""Whether the run's folder is still where a process of the run found it: moved away, the process works into nothing.

Not here: whether a folder is a copy of another (`elsewhere`), and who is in charge of it (`liveness`).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoints import STAGING
from engine.errors import RunDirError
from engine.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class Footing:
    """A folder by its path and by what it is on the disk: device and inode."""

    path: Path
    device: int
    inode: int

    @staticmethod
    def of(run: RunDir) -> Footing:
        """Of the run's folder now. Raises OSError where there is none."""
        found = run.path.stat()
        return Footing(run.path, found.st_dev, found.st_ino)

    def require(self) -> None:
        """Raises RunDirError where the path leads elsewhere by now, or nowhere.

        The new place is told where this process began in the folder: a current folder keeps its name across a move.
        """
        if self._is_at(self.path):
            return
        new = self._place_now()
        raise RunDirError(
            f"The run's folder was moved or removed while the run went on: it is not at {self.path} any more.",
            means="The run cannot save there, so it ends here. Checkpoints and events from before are in the folder"
            + (f", which is {new} now." if new else ", wherever it is now."),
            remedy=f"Go on there: finetui resume {shlex.quote(new)}" if new else "Put the folder back and resume it.",
        )

    def held(self, work: Callable[[], int]) -> Callable[[], int]:
        """The work, whose fault over a file is told as the move where there was one. It raises as `require` then."""

        def held() -> int:
            try:
                return work()
            except (OSError, RunDirError):
                self._clear_ghost()
                self.require()
                raise

        return held

    def _clear_ghost(self) -> None:
        """Remove what a worker made at the old place before it was ended: folders, and a checkpoint cut off half-way.

        Where anything else lies there, nothing is removed.
        """
        if not self._is_at(self.path) and self._holds_only_leftovers():
            shutil.rmtree(self.path, ignore_errors=True)

    def _holds_only_leftovers(self) -> bool:
        staging = RunDir(self.path).checkpoints / STAGING
        for folder, folders, files in os.walk(self.path):
            links = [name for name in folders if Path(folder, name).is_symlink()]
            if any(not Path(folder, name).is_relative_to(staging) for name in (*files, *links)):
                return False
        return True

    def _place_now(self) -> str:
        with contextlib.suppress(OSError):
            if self._is_at(Path()):
                return str(Path.cwd())
        return ""

    def _is_at(self, path: Path) -> bool:
        try:
            found = path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode)
