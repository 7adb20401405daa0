"""What every check is made of: rows handed over in blocks, a quick look at a block's whole text, and what was found.

Most things looked for are rare, and a search through one long text costs far less than one through each row, so a check
first asks whether a block is suspect at all. Not here: the checks (`checks`) and going through the rows (`checking`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from data.conversation import Conversation, Example
from data.findings import Level
from data.loading import ReadRow
from data.many_rows.key_index import RowNumbers
from data.splitting import request_key

PAIRS_KEPT = 5
"""So many rows are remembered together with the row that they are like."""

_DIGITS, _BLANKS, _LINE_BREAKS = b"0123456789", b" -()", b"\t\n\r"
_SHAPES = bytes(
    ord("0") if byte in _DIGITS
    else ord("-") if byte in _BLANKS
    else byte if byte in b".@+"
    else 1 if (byte < 32 and byte not in _LINE_BREAKS) or byte == 127
    else ord("x")
    for byte in range(256)
)  # fmt: skip
_RUNS = bytes(ord("x") if bytes([byte]).isalnum() or byte in b"_-" else ord(" ") for byte in range(256))


@dataclass(frozen=True, slots=True)
class Limits:
    """Where checks begin to complain.

    `max_characters` a row, `short_characters` an answer, near-duplicates among the first `near_rows` rows of all
    datasets together (None: however many there are, 0: not looked for), and so many places named for each finding.
    """

    max_characters: int = 32_000
    short_characters: int = 3
    near_rows: int | None = 20_000
    places_named: int = 5


class Setup(NamedTuple):
    """What a check starts with: limits, a folder of its own, and the datasets' names, the checked one first."""

    limits: Limits
    folder: Path
    datasets: tuple[str, ...]

    def made_folder(self, name: str = "") -> Path:
        """The folder, or one in it, made and empty."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        return folder


class Text:
    """One row's text, or that of many, and views of it in which a search is fast."""

    def __init__(self, text: str) -> None:
        self.text, self.is_ascii = text, text.isascii()

    @cached_property
    def encoded(self) -> bytes:
        """As UTF-8."""
        return self.text.encode("utf-8", "surrogatepass")

    @cached_property
    def shape(self) -> bytes:
        """Digits as 0, blanks, hyphens and parentheses as -, control characters as 1, all but . @ + as x."""
        return self.encoded.translate(_SHAPES)

    @cached_property
    def runs(self) -> bytes:
        """ASCII letters, digits, _ and - as x, everything else as a blank."""
        return self.encoded.translate(_RUNS)

    def holds_any(self, signs: Iterable[str]) -> bool:
        """Whether one of the signs stands in it."""
        text = self.text
        for sign in signs:  # noqa: SIM110 - a generator would take twice the time for short texts
            if sign in text:
                return True
        return False


class Block:
    """Some rows in turn: number and example of the `usable`, number and reason of the `rejected`.

    `texts` go with the usable. `side` is the dataset's place, 0 for the checked one.
    """

    def __init__(self, side: int = 0) -> None:
        self.side = side
        self.usable: list[tuple[int, Example]] = []
        self.texts: list[str] = []
        self.rejected: list[tuple[int, str]] = []
        self.num_characters = 0

    def add(self, row: ReadRow) -> None:
        """The next row. Only what checks look at is kept of it."""
        if row.example is not None:
            text = text_of(row.example)
            self.usable.append((row.line, row.example))
            self.texts.append(text)
            self.num_characters += len(text)
        elif row.rejection is not None:
            self.rejected.append((row.line, row.rejection.reason))

    @property
    def num_rows(self) -> int:
        return len(self.usable) + len(self.rejected)

    @cached_property
    def whole(self) -> Text:
        """All texts of the usable rows, one line break between them."""
        return Text("\n".join(self.texts))

    @cached_property
    def whole_foreign(self) -> Text:
        """Those of the texts that are not all ASCII."""
        return self.whole if self.whole.is_ascii else Text("\n".join(t for t in self.texts if not t.isascii()))

    @cached_property
    def answers(self) -> list[str]:
        """The answer of every usable row."""
        return [example.answer for _, example in self.usable]

    @cached_property
    def keys(self) -> list[str]:
        """`splitting.request_key` of every usable row."""
        return [request_key(example) for _, example in self.usable]


@dataclass(slots=True)
class Found:
    """Rows of the checked dataset in which a check found something.

    `kinds` counts rows by kind. `pairs` are a few rows, each with dataset and number of a row that it is like.
    `name`, `title` and `level` stand in for those of the check. `num_rows` stands in where there are no row numbers.
    """

    rows: RowNumbers = field(default_factory=RowNumbers)
    kinds: Counter[str] = field(default_factory=Counter)
    pairs: list[tuple[int, int, int]] = field(default_factory=list)
    name: str = ""
    title: str = ""
    level: Level | None = None
    means: str = ""
    num_rows: int | None = None

    @property
    def count(self) -> int:
        return len(self.rows) if self.num_rows is None else self.num_rows

    def mark(self, number: int, kinds: Iterable[str] = ()) -> None:
        """This row has it."""
        self.rows.add(number)
        self.kinds.update(kinds)

    def pair(self, number: int, side: int, like: int) -> None:
        """This row has it, because of another row."""
        if number in self.rows:
            return
        self.rows.add(number)
        self.pairs.append((number, side, like))
        if len(self.pairs) > 20 * PAIRS_KEPT:
            self.pairs = sorted(self.pairs)[:PAIRS_KEPT]


class Looking(Protocol):
    """One check at work on one dataset and those it is held against."""

    def look(self, block: Block) -> None:
        """Look at the next rows; those of the checked dataset (side 0) come first."""

    def finish(self) -> tuple[list[Found], str]:
        """What was found, and in a sentence what was not looked for and why ("" for nothing)."""


class TextLooking:
    """Looks for something in the text of each row alone.

    `is_suspect` is a quick look, at many rows first and then at fewer; it never misses what `kinds_in` finds.
    With `in_ascii` False, texts that are all ASCII are passed over.
    """

    def __init__(
        self, is_suspect: Callable[[Text], bool], kinds_in: Callable[[str], Iterable[str]], in_ascii: bool = True
    ) -> None:
        self._is_suspect, self._kinds_in, self._in_ascii = is_suspect, kinds_in, in_ascii
        self._found = Found()

    def look(self, block: Block) -> None:
        """See `Looking`."""
        whole = block.whole if self._in_ascii else block.whole_foreign
        if block.side or (whole.is_ascii and not self._in_ascii) or not self._is_suspect(whole):
            return
        rows = zip(block.usable, block.texts, strict=True)
        self._narrow([(line, text) for (line, _), text in rows if self._in_ascii or not text.isascii()])

    def _narrow(self, rows: list[tuple[int, str]]) -> None:
        """Down to the suspect rows among rows that are suspect together, by eighths."""
        if len(rows) == 1:
            line, text = rows[0]
            if kinds := set(self._kinds_in(text)):
                self._found.mark(line, kinds)
            return
        size = -(-len(rows) // 8)
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            if self._is_suspect(Text("\n".join([text for _, text in part]))):
                self._narrow(part)

    def finish(self) -> tuple[list[Found], str]:
        """See `Looking`."""
        return [self._found], ""


def text_of(example: Example) -> str:
    """Everything that a row says, one line break between messages."""
    if not isinstance(example, Conversation):
        return example.text
    texts = [message.content for message in example.messages]
    return "\n".join(texts if example.refused is None else [*texts, example.refused])
