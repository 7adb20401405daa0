"""The answers of two variants to the same rows, read from their files bit by bit: which rows got better, which worse.

Of a file only places and verdicts are kept; a row's texts are read when somebody looks at it. Files may grow, or be
replaced, while they are read. Not here: how a row is drawn (`example_lines`), who writes the files
(`engine/evaluation/answers_file`).
"""

from __future__ import annotations

import json
import os
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.run_dir import RunDir
from engine.run_state import RunState

KINDS: Mapping[str, str] = {
    "better": "wrong before, right now",
    "worse": "right before, wrong now",
    "wrong": "wrong with both",
    "right": "right with both",
    "all": "every row that both answered",
}
"""Kinds of rows, and what they are."""
MAX_KEPT = 400
"""Rows whose texts stay in memory."""
CHUNK_LINES = 200


@dataclass(frozen=True, slots=True)
class Source:
    """One variant's answers: what it is called and where they lie. `is_whole`: nothing is added any more."""

    variant: str
    title: str
    path: Path
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Example:
    """One row with the answers of both variants. `found` is the part compared, None where there was none."""

    row: int
    line: int
    group: str
    request: str
    expected: str
    wanted: str
    answers: tuple[str, str]
    founds: tuple[str | None, str | None]
    corrects: tuple[bool, bool]

    @property
    def kind(self) -> str:
        return kind_of(self.corrects)


def kind_of(corrects: tuple[bool, bool]) -> str:
    """better, worse, wrong or right."""
    before, now = corrects
    return ("right" if before else "better") if now else ("worse" if before else "wrong")


def sources_of(run: RunDir, state: RunState, dataset: str = "test") -> list[Source]:
    """Every variant with answers on disk, in the order they were scored; one being scored comes last."""
    found: dict[str, Source] = {}
    for score in state.scores:
        path = run.path / score.answers_file
        if score.dataset == dataset and path.is_file():
            found[score.variant] = Source(score.variant, score.title, path)
    if (now := state.progress) is not None and dataset == "test":
        fresh = [run.answers / f"{now.variant}{suffix}" for suffix in (".new", ".jsonl")]
        if path := next((each for each in fresh if each.is_file()), None):  # type: ignore[assignment]
            title = found[now.variant].title if now.variant in found else now.variant.replace("_", " ")
            found[now.variant] = Source(now.variant, title, path, is_whole=False)
    return list(found.values())


class AnswerIndex:
    """Where each row's answer lies in one file, and whether it is right."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.corrects: dict[int, bool] = {}
        self._places: dict[int, int] = {}
        self._offset, self._inode = 0, 0
        self._kept: OrderedDict[int, dict[str, Any]] = OrderedDict()

    def read(self, seconds: float) -> bool:
        """Look at new lines for about so long; whether there are more. A file that was replaced is read anew."""
        deadline = time.perf_counter() + seconds
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                if stat.st_ino != self._inode or stat.st_size < self._offset:
                    self._forget(stat.st_ino)
                file.seek(self._offset)
                for number, line in enumerate(file, start=1):
                    if not line.endswith(b"\n"):  # being written
                        return False
                    self._take(line)
                    if number % CHUNK_LINES == 0 and time.perf_counter() > deadline:
                        return self._offset < stat.st_size
        except OSError:  # removed meanwhile
            return False
        return False

    def _forget(self, inode: int) -> None:
        self.corrects, self._places, self._offset, self._inode = {}, {}, 0, inode
        self._kept.clear()

    def _take(self, line: bytes) -> None:
        at, self._offset = self._offset, self._offset + len(line)
        try:
            values = json.loads(line)
            row, correct = int(values["row"]), bool(values["correct"])
        except (ValueError, TypeError, KeyError):  # a damaged line
            return
        self._places[row], self.corrects[row] = at, correct

    def values(self, row: int) -> dict[str, Any] | None:
        """What the file says of a row; None where it cannot be read (any more)."""
        if (known := self._kept.get(row)) is not None:
            self._kept.move_to_end(row)
            return known
        try:
            with self.path.open("rb") as file:
                file.seek(self._places[row])
                values = json.loads(file.readline())
        except (OSError, ValueError, KeyError):
            return None
        if not isinstance(values, dict) or values.get("row") != row:
            return None
        self._kept[row] = values
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return values


class Pair:
    """Two variants over the rows that both answered. `read` goes on with both files, and with a search."""

    def __init__(self, before: Source, now: Source) -> None:
        self.before, self.now = before, now
        self._indexes = AnswerIndex(before.path), AnswerIndex(now.path)
        self.kinds: dict[int, str] = {}
        self.words = ""
        self._searched: set[int] = set()
        self._order: list[int] = []
        self._matches: set[int] = set()

    def read(self, seconds: float) -> bool:
        """Work for about so long; whether there is more to do now."""
        deadline = time.perf_counter() + seconds
        more = [index.read(max(deadline - time.perf_counter(), 0.0)) for index in self._indexes]
        before, now = (index.corrects for index in self._indexes)
        if len(self.kinds) != len(before.keys() & now.keys()) or any(more):
            self.kinds = {row: kind_of((before[row], now[row])) for row in sorted(before.keys() & now.keys())}
            self._order = list(self.kinds)
        return self._search(deadline) or any(more)

    def search(self, words: str) -> None:
        """Only rows that hold every one of these words in a text, from now on."""
        self.words = words.strip()
        self._searched, self._matches = set(), set()

    def _search(self, deadline: float) -> bool:
        wanted = self.words.casefold().split()
        if not wanted:
            return False
        for row in self._order:
            if row in self._searched:
                continue
            self._searched.add(row)
            text = " ".join(self._texts(row)).casefold()
            if all(word in text for word in wanted):
                self._matches.add(row)
            if time.perf_counter() > deadline:
                break
        return len(self._searched) < len(self._order)

    def _texts(self, row: int) -> Iterator[str]:
        for values in (index.values(row) for index in self._indexes):
            if values is not None:
                yield from (str(values.get(name, "")) for name in ("request", "expected", "answer", "group"))

    def counts(self) -> dict[str, int]:
        """Rows of each kind, whatever is searched for."""
        found = dict.fromkeys(KINDS, 0)
        for kind in self.kinds.values():
            found[kind] += 1
        return found | {"all": len(self.kinds)}

    def rows(self, kind: str) -> list[int]:
        """The rows of a kind that match the search, in the order of the file they came from."""
        return [
            row for row, its in self.kinds.items() if kind in ("all", its) and (not self.words or row in self._matches)
        ]

    def example(self, row: int) -> Example | None:
        """The texts of one row, read now; None where a file cannot be read any more."""
        before, now = (index.values(row) for index in self._indexes)
        if before is None or now is None:
            return None
        return Example(
            row=row,
            line=int(now.get("line", row)),
            group=str(now.get("group", "")),
            request=str(now.get("request", "")),
            expected=str(now.get("expected", "")),
            wanted=str(now.get("wanted", "")),
            answers=(str(before.get("answer", "")), str(now.get("answer", ""))),
            founds=(before.get("found"), now.get("found")),
            corrects=(bool(before.get("correct")), bool(now.get("correct"))),
        )
