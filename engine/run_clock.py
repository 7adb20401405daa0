"""The time that events of a run are stamped with: the wall clock's, but never before what the run has told already.

Events of several writers are ordered by their times. A clock set back between two attempts, or while one works, would
put the later one before the earlier, and a resumed run before its own stop. Not here: reading events (`event_log`).
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

TAIL_BYTES = 8 * 1024
"""Of the end of each file: two lines at least."""
TIME = re.compile(rb'^\{"v":\d+,"seq":\d+,"time":(\d+(?:\.\d+)?),', re.MULTILINE)
APART_SECONDS = 0.001
"""Between the newest event and the next one after a jump: of two of one moment the writer's name would decide."""
FARTHEST_SECONDS = 10 * 365 * 86400.0
"""A time farther ahead is no clock's, but damage to the file."""


@dataclass(slots=True)
class RunClock:
    """Unix seconds. `newest` is the newest time told, `ahead` by how much events are ahead of the wall clock."""

    newest: float
    ahead: float = 0.0

    @staticmethod
    def of(folder: Path) -> RunClock:
        """That goes on from the last events in a folder's files."""
        return RunClock(max((_last_time(path) for path in folder.glob("*.jsonl")), default=0.0))

    def now(self) -> float:
        """The time of an event that is told now. Where the wall clock was set back, it goes on from the newest."""
        wall = time.time()
        if wall + self.ahead < self.newest < wall + FARTHEST_SECONDS:
            self.ahead = self.newest - wall + APART_SECONDS
        self.newest = wall + self.ahead
        return self.newest


def _last_time(path: Path) -> float:
    """The newest time in the last lines of an event file; 0 where there is none."""
    with contextlib.suppress(OSError):
        if path.is_file():  # to open a pipe would wait for its writer
            with path.open("rb") as file:
                file.seek(max(os.fstat(file.fileno()).st_size - TAIL_BYTES, 0))
                return max((float(time) for time in TIME.findall(file.read())), default=0.0)
    return 0.0
