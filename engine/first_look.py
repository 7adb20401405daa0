"""A first look at a run whose history is long: its beginning, its end, and some of the middle.

Not here: reading it whole (`event_log`).
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from pathlib import Path

from engine.event_log import Key, whole_lines
from engine.events import Stamped

LONG_HISTORY_BYTES = 32 * 1024 * 1024
"""About 85,000 steps, a second and a half of reading: beyond that a short answer comes from a first look."""
GLIMPSE_BYTES = 96 * 1024
GLIMPSE_PLACES, PLACE_BYTES = 256, 3 * 1024
"""A long file is looked at here and there as well, so that the first picture has the whole of its curve."""
SEARCHED_BYTES = 8 * 1024 * 1024
"""Before the end of a long file, in which what comes seldom is looked for: the last eval loss, the last checkpoint."""
FREQUENT = re.compile(rb'"event":"(StepLogged|DeviceSampled|EvaluationProgressed|ExportProgressed)"')


def num_event_bytes(folder: Path) -> int:
    """How long the event files of a run are together."""
    found = 0
    for path in folder.glob("*.jsonl"):
        with contextlib.suppress(OSError):
            found += path.stat().st_size
    return found


def glimpse(folder: Path, max_bytes: int = GLIMPSE_BYTES) -> list[Stamped]:
    """The first and the last events of every file and some of a long one's middle, oldest first: a first picture.

    At most `max_bytes` from either end of a file and `GLIMPSE_PLACES` places between. Sums and means over them are
    not those of the run.
    """
    found: list[tuple[Key, Stamped]] = []
    for path in sorted(folder.glob("*.jsonl")):
        last_time = -math.inf
        for stamped in whole_lines(_here_and_there(path, max_bytes)):
            last_time = max(last_time, stamped.time)
            found.append(((last_time, stamped.writer, stamped.seq), stamped))
    found.sort(key=lambda item: item[0])
    return [stamped for _, stamped in found]


def _inner_lines(chunk: bytes) -> bytes:
    """The whole lines of a chunk whose first byte lies before one."""
    return chunk.partition(b"\n")[2].rpartition(b"\n")[0]


def _here_and_there(path: Path, max_bytes: int) -> bytes:
    """Whole lines from the beginning, from places in the middle, and from the end of a file."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= 2 * max_bytes:
                return file.read().rpartition(b"\n")[0]
            parts = [file.read(max_bytes).rpartition(b"\n")[0]]
            between = size - 2 * max_bytes
            num_places = min(GLIMPSE_PLACES, between // (64 * PLACE_BYTES))
            for number in range(num_places):
                file.seek(max_bytes + between * number // num_places)
                parts.append(_inner_lines(file.read(PLACE_BYTES)))
            searched = min(between, SEARCHED_BYTES) if num_places else 0
            file.seek(size - max_bytes - searched - 1)  # one more, to see whether a line begins there
            end = file.read(searched + max_bytes + 1)
            cut = max(end.rfind(b"\n", 0, searched + 1), 0)
            rare = [line for line in _inner_lines(end[: cut + 1]).split(b"\n") if not FREQUENT.search(line[:160])]
            parts += [*rare, _inner_lines(end[cut:])]
            return b"\n".join(parts)
    except OSError:
        return b""
