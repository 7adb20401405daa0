"""The answers of one variant on disk: one JSON line per row, appended as they come, continued after a kill.

Not here: judging them (`scoring`).
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from engine.errors import RunDirError


@dataclass(frozen=True, slots=True)
class Answer:
    """One answered row.

    `row` counts the scored rows from 0, `line` is the row's line in its source; `request` is clipped;
    `seconds` is the computing time of this variant until then.
    """

    row: int
    line: int
    request: str
    expected: str
    answer: str
    wanted: str
    found: str | None
    correct: bool
    group: str
    unseen: bool
    seconds: float


class AnswersFile:
    """Appends answers; `done` holds those of an earlier process. A torn last line is cut off."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[int, Answer] = {}
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        end = 0
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                answer = Answer(**json.loads(line))
            except (ValueError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            self.done[answer.row] = answer
            end += len(line)
        os.ftruncate(self._fd, end)
        os.lseek(self._fd, end, os.SEEK_SET)

    def append(self, answer: Answer) -> None:
        """Store one answer. Raises RunDirError when the disk refuses it."""
        line = json.dumps(asdict(answer)).encode() + b"\n"  # ASCII: bytes that are no text come back unharmed
        try:
            while line:
                line = line[os.write(self._fd, line) :]
        except OSError as fault:
            raise RunDirError(
                f"{self.path} cannot be written: {fault.strerror}.",
                means="The trained adapter is safe; only its score is missing.",
                remedy="Free space on that disk, then `finetui resume` the run: it goes on with the next row.",
            ) from fault
        self.done[answer.row] = answer

    @property
    def seconds(self) -> float:
        """Computing time spent on the answers so far."""
        return max((answer.seconds for answer in self.done.values()), default=0.0)

    def __enter__(self) -> AnswersFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
