"""The answers of one variant on disk: one JSON line per row, appended as they come, continued after a kill.

What was asked is kept with every answer, as a hash: answers to another question are never taken for answers to this
one. While they are replaced the old ones stay where they were. Not here: judging answers (`scoring`, `metrics`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from engine.errors import RunDirError
from engine.flushing import fsync_folder


@dataclass(frozen=True, slots=True)
class Answer:
    """One answered row.

    `row` counts the scored rows from 0, `line` is the row's line in its source; `request` is clipped; `seconds` is the
    computing time of this variant until then, `own_seconds` this row's share of it. `asked` hashes what was asked of
    whom. `ended`: by a stop token, not at the longest length; `loss`: mean nats per trained token of the expected
    answer, over `num_loss_tokens`. These, and `num_tokens` of the answer, are None where nobody knows.
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
    asked: str = ""
    num_tokens: int | None = None
    ended: bool | None = None
    own_seconds: float | None = None
    loss: float | None = None
    num_loss_tokens: int | None = None


class AnswersFile:
    """Appends answers; `done` holds those of an earlier process to the same questions. A torn last line is cut off.

    `asked` maps each row to its hash; None takes whatever is there. Where the file holds answers to other questions,
    new ones gather beside it until `finish` puts them in its place.
    """

    def __init__(self, path: Path, asked: Mapping[int, str] | None = None) -> None:
        self.path, self._asked = path, asked
        self.done: dict[int, Answer] = {}
        kept = read_answers(path)
        fits = all(self._is_asked(answer) for answer in kept)
        self._file = path if fits else path.with_suffix(".new")
        self._fd = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._fd, end_of_answers(self._file))
        os.lseek(self._fd, 0, os.SEEK_END)
        for answer in kept if fits else (*kept, *read_answers(self._file)):
            if self._is_asked(answer):
                self.done[answer.row] = answer

    def _is_asked(self, answer: Answer) -> bool:
        """Whether this is what is asked now. Rows beyond those asked for are left alone."""
        return self._asked is None or self._asked.get(answer.row, answer.asked) == answer.asked

    def append(self, answer: Answer) -> None:
        """Store one answer. Raises RunDirError when the disk refuses it."""
        line = encoded(answer)
        try:
            while line:
                line = line[os.write(self._fd, line) :]
        except OSError as fault:
            raise unwritable(self._file, fault) from fault
        self.done[answer.row] = answer

    def finish(self, answers: Mapping[int, Answer]) -> None:
        """Leave these in the file, where they are not what is there already. Raises RunDirError.

        What it holds of rows that nobody asked for this time stays, unless other questions were answered there.
        """
        if self._file == self.path and all(self.done.get(row) == answer for row, answer in answers.items()):
            self._flush()
            return
        kept = self.done if self._file == self.path else {}
        whole = {**kept, **answers}
        try:
            part = self.path.with_suffix(".part")
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.writelines(encoded(whole[row]) for row in sorted(whole))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
            fsync_folder(self.path.parent)
            if self._file != self.path:
                self._file.unlink()
        except OSError as fault:
            raise unwritable(self.path, fault) from fault
        self.done = dict(whole)

    def _flush(self) -> None:
        """Have the disk keep them: what says that all are there is written next."""
        try:
            os.fsync(self._fd)
            fsync_folder(self.path.parent)
        except OSError as fault:
            raise unwritable(self.path, fault) from fault

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


def read_answers(path: Path) -> list[Answer]:
    """The whole answers in a file, in its order, up to the first line that is none. Nothing where there is no file."""
    return _read(path)[0]


def end_of_answers(path: Path) -> int:
    """Bytes up to the end of the last whole answer."""
    return _read(path)[1]


def _read(path: Path) -> tuple[list[Answer], int]:
    answers: list[Answer] = []
    end = 0
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        try:
            answer = Answer(**json.loads(line))
        except (ValueError, TypeError):
            break
        if not line.endswith(b"\n"):
            break
        answers.append(answer)
        end += len(line)
    return answers, end


def encoded(answer: Answer) -> bytes:
    """Its line; ASCII, so that bytes that are no text come back unharmed."""
    return json.dumps(asdict(answer)).encode() + b"\n"


def unwritable(path: Path, fault: OSError) -> RunDirError:
    return RunDirError(
        f"{path} cannot be written: {fault.strerror}.",
        means="The trained adapter is safe; only its score is missing.",
        remedy="Free space on that disk, then `finetui resume` the run: it goes on with the next row.",
    )
