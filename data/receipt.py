"""The receipt: what of the rows will be trained, counted before training starts. Pure; the engine counts the tokens."""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from data.errors import DataError
from data.rows import Rejection
from data.understanding.detection import Detection

OnOverflow = Literal["truncate", "drop", "refuse"]
COLUMNS = 78
_LINES_NAMED, _PLACES_NAMED, _NOTES_SHOWN = 5, 2, 4

Place = Callable[[int], str]
"""From the number of a row in its dataset to "file, line n"."""


@dataclass(frozen=True, slots=True)
class TokenCount:
    """The tokens of one train row before (`num_tokens`, `num_trained`) and after truncation at `max_length` (`…_kept`).

    Trained tokens are those with a label: the answer and its end-of-turn token. `stop_token_trained` says whether
    that end-of-turn token is still among them after truncation.
    """

    line: int
    num_tokens: int
    num_trained: int
    num_tokens_kept: int
    num_trained_kept: int
    stop_token_trained: bool


@dataclass(frozen=True, slots=True)
class RowNote:
    """Something that befell `num_rows` rows, with the first few of their line numbers.

    Where rows come from several files, `first_places` has "file, line n" for each of the lines.
    """

    what: str
    num_rows: int
    first_lines: tuple[int, ...]
    first_places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What goes into training and what is lost on the way.

    Lengths are tokens per row before truncation (nearest rank). Shares are 0-1. What a row over `max_length` loses
    is counted for all its tokens when such rows are dropped, and for the part cut off otherwise. `num_trained_kept`
    of `num_tokens_kept` tokens are trained. `num_pairs` train rows have a refused answer too, which is not used.
    `notes` say how files were read, where somebody may be surprised.
    """

    num_train: int
    num_eval: int
    num_test: int
    num_duplicates: int
    detection: Detection
    max_length: int | None
    on_overflow: OnOverflow
    length_p50: int
    length_p95: int
    length_p99: int
    length_max: int
    over_length: RowNote
    share_over_length: float
    num_tokens_lost: int
    num_trained_lost: int
    num_rows_dropped: int
    num_rows_kept: int
    num_tokens_kept: int
    num_trained_kept: int
    share_trained: float
    answer_cut_away: RowNote
    without_stop_token: RowNote
    rejected: tuple[RowNote, ...]
    num_pairs: int = 0
    notes: tuple[str, ...] = ()

    @property
    def stop_token_always_trained(self) -> bool:
        """Whether the end-of-turn token is among the trained tokens of every row."""
        return self.without_stop_token.num_rows == 0

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Receipt:
        """The opposite of to_json, also after a round through JSON text."""
        notes: dict[str, Any] = {
            name: _note(value[name]) for name in ("over_length", "answer_cut_away", "without_stop_token")
        }
        notes |= {"rejected": tuple(map(_note, value["rejected"])), "notes": tuple(value.get("notes", ()))}
        return cls(**{**value, **notes, "detection": Detection(**value["detection"])})


def build_receipt(
    counts: Iterable[TokenCount],
    *,
    max_length: int | None,
    on_overflow: OnOverflow,
    rejected: Iterable[Rejection],
    split_sizes: Mapping[str, int],
    duplicates: int,
    detection: Detection,
    num_pairs: int = 0,
) -> Receipt:
    """Add up the counts of the train rows. `max_length` is in tokens; `split_sizes` has train, eval and test."""
    counter = ReceiptCounter(max_length, on_overflow)
    for count in counts:
        counter.add(count)
    return counter.receipt(
        rejected=rejected, split_sizes=split_sizes, duplicates=duplicates, detection=detection, num_pairs=num_pairs
    )


@dataclass(slots=True)
class _Noted:
    """Rows that something befell, counted, with the smallest of their line numbers."""

    num_rows: int = 0
    first_lines: list[int] = field(default_factory=list)

    def add(self, line: int) -> None:
        self.num_rows += 1
        bisect.insort(self.first_lines, line)
        del self.first_lines[_LINES_NAMED:]

    def note(self, what: str, place: Place | None) -> RowNote:
        places = map(place, self.first_lines) if place is not None else ()
        return RowNote(what, self.num_rows, tuple(self.first_lines), tuple(places))


class ReceiptCounter:
    """Counts train rows as they come; holds how often each length occurs, and no row.

    `max_length` is in tokens. Raises ValueError for an `on_overflow` that there is not.
    """

    def __init__(self, max_length: int | None, on_overflow: OnOverflow) -> None:
        if on_overflow not in get_args(OnOverflow):
            raise ValueError(f"on_overflow is {on_overflow!r}, not one of {get_args(OnOverflow)}")
        self.max_length, self.on_overflow = max_length, on_overflow
        self._lengths: Counter[int] = Counter()
        self._over, self._cut_away, self._without_stop = _Noted(), _Noted(), _Noted()
        self._num_dropped, self._num_tokens, self._num_trained = 0, 0, 0
        self._num_tokens_kept, self._num_trained_kept = 0, 0

    def add(self, count: TokenCount) -> None:
        """One row."""
        self._lengths[count.num_tokens] += 1
        self._num_tokens += count.num_tokens
        self._num_trained += count.num_trained
        if self.max_length is not None and count.num_tokens > self.max_length:
            self._over.add(count.line)
            if self.on_overflow == "drop":
                self._num_dropped += 1
                return
        self._num_tokens_kept += count.num_tokens_kept
        self._num_trained_kept += count.num_trained_kept
        if count.num_trained and not count.num_trained_kept:
            self._cut_away.add(count.line)
        if not count.stop_token_trained:
            self._without_stop.add(count.line)

    def receipt(
        self,
        *,
        rejected: Iterable[Rejection],
        split_sizes: Mapping[str, int],
        duplicates: int,
        detection: Detection,
        num_pairs: int = 0,
        place: Place | None = None,
        notes: tuple[str, ...] = (),
    ) -> Receipt:
        """What was counted. `split_sizes` has train, eval and test.

        `place` says where the train row of a number stands; give it where rows come from several files.
        """
        num_rows = self._lengths.total()
        percentiles = {f"length_p{percent}": nearest_rank(self._lengths, percent) for percent in (50, 95, 99)}
        return Receipt(
            num_train=split_sizes["train"],
            num_eval=split_sizes["eval"],
            num_test=split_sizes["test"],
            num_duplicates=duplicates,
            detection=detection,
            max_length=self.max_length,
            on_overflow=self.on_overflow,
            **percentiles,
            length_max=max(self._lengths, default=0),
            over_length=self._over.note("longer than max_length", place),
            share_over_length=self._over.num_rows / num_rows if num_rows else 0.0,
            num_tokens_lost=self._num_tokens - self._num_tokens_kept,
            num_trained_lost=self._num_trained - self._num_trained_kept,
            num_rows_dropped=self._num_dropped,
            num_rows_kept=num_rows - self._num_dropped,
            num_tokens_kept=self._num_tokens_kept,
            num_trained_kept=self._num_trained_kept,
            share_trained=self._num_trained_kept / self._num_tokens_kept if self._num_tokens_kept else 0.0,
            answer_cut_away=self._cut_away.note("answer cut away", place),
            without_stop_token=self._without_stop.note("no trained stop token", place),
            rejected=_by_reason(rejected, names_files=place is not None),
            num_pairs=num_pairs,
            notes=notes,
        )


def check_receipt(receipt: Receipt) -> None:
    """Raises DataError when training on these rows would be pointless or is not what the recipe allows."""
    over = receipt.over_length
    if receipt.on_overflow == "refuse" and over.num_rows:
        raise DataError(
            f"{over.num_rows} row(s) are longer than {receipt.max_length} tokens ({_lines_named(over)}); the longest "
            f"has {receipt.length_max}.",
            means='The recipe says data.on_overflow = "refuse", so nothing is cut or left out in silence.',
            remedy='Raise training.max_length, or set data.on_overflow to "truncate" (cut the end off), "drop" (leave '
            'those rows out) or, as now, "refuse".',
        )
    if receipt.num_rows_kept == 0:
        raise DataError(
            f"No row is left to train on: {receipt.num_rows_dropped} are longer than {receipt.max_length} tokens.",
            means='The recipe says data.on_overflow = "drop".',
            remedy=f"Raise training.max_length (half of the rows fit in {receipt.length_p50} tokens).",
        )
    if receipt.num_trained_kept == 0:
        raise DataError(
            "0 % of the tokens would be trained.",
            means=f"No answer is left in any row: {receipt.answer_cut_away.num_rows} row(s) lose theirs to the cut at "
            f"{receipt.max_length} tokens.",
            remedy=f"Raise training.max_length (the longest row has {receipt.length_max} tokens), or train on the "
            "whole text if the rows hold no answers.",
        )
    if receipt.without_stop_token.num_rows == receipt.num_rows_kept:
        raise DataError(
            "In no row is the end-of-turn token among the trained tokens.",
            means="The tuned model would never learn to stop and would run on after every answer.",
            remedy="Use a chat template that ends each answer with the end-of-turn token, or raise training.max_length "
            "if the cut takes it away.",
        )


def lines(receipt: Receipt) -> list[str]:
    """The receipt as plain text for a terminal, at most 78 columns wide."""
    detection = receipt.detection
    cut_away = [receipt.answer_cut_away] if receipt.answer_cut_away.num_rows else []
    lengths = f"p50 {receipt.length_p50}, p95 {receipt.length_p95}, p99 {receipt.length_p99}, max {receipt.length_max}"
    num_rejected = sum(note.num_rows for note in receipt.rejected)
    facts = [
        ("rows", f"{receipt.num_train} train, {receipt.num_eval} eval, {receipt.num_test} test"),
        ("format", f"{detection.format}, {detection.sureness}: {detection.reason}"),
        ("duplicates", f"{_rows(receipt.num_duplicates)} dropped"),
        ("rejected", _rows(num_rejected) if num_rejected else "none"),
        *(("", f"{note.num_rows} x {note.what} ({_lines_named(note)})") for note in receipt.rejected),
        ("tokens per row", lengths),
        ("too long", _overflow(receipt)),
        *(("", f"{_rows(note.num_rows)}: the whole answer is lost ({_lines_named(note)})") for note in cut_away),
        (
            "trained",
            f"{receipt.num_trained_kept} of {receipt.num_tokens_kept} tokens ({_percent(receipt.share_trained)})",
        ),
        ("stop token", _stop_token(receipt)),
        *_pairs(receipt),
        *(("note", note) for note in receipt.notes[:_NOTES_SHOWN]),
    ]
    return [line for name, fact in facts for line in _wrapped(name, fact)]


def _overflow(receipt: Receipt) -> str:
    over = receipt.over_length
    if receipt.max_length is None:
        return "no limit is set"
    if not over.num_rows:
        return f"none is longer than {receipt.max_length} tokens"
    done = {"truncate": "cut", "drop": "dropped", "refuse": "refused"}[receipt.on_overflow]
    return (
        f"{_rows(over.num_rows)} ({_percent(receipt.share_over_length)}) longer than {receipt.max_length} tokens, "
        f"{done}: {receipt.num_tokens_lost} tokens lost, {receipt.num_trained_lost} of them answer "
        f"({_lines_named(over)})"
    )


def _stop_token(receipt: Receipt) -> str:
    lacking = receipt.without_stop_token
    if not lacking.num_rows:
        return "trained in every row"
    return f"not trained in {_rows(lacking.num_rows)} of {receipt.num_rows_kept} ({_lines_named(lacking)})"


def _pairs(receipt: Receipt) -> list[tuple[str, str]]:
    if not receipt.num_pairs:
        return []
    told = f"{_rows(receipt.num_pairs)}: the chosen answers are trained, the refused ones are not used"
    return [("pairs", told)]


def _wrapped(name: str, fact: str) -> list[str]:
    """One fact behind its name, wrapped; characters that a terminal would act on are shown as escapes."""
    import textwrap

    literal = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in fact)
    return textwrap.wrap(literal, COLUMNS, initial_indent=f"{name:<16}", subsequent_indent=" " * (16 if name else 18))


def _lines_named(note: RowNote) -> str:
    more = ", …" if note.num_rows > len(note.first_lines) else ""
    if note.first_places:
        return f"{'; '.join(note.first_places[:_PLACES_NAMED])}{'; …' if note.num_rows > _PLACES_NAMED else ''}"
    shown = ", ".join(map(str, note.first_lines))
    return f"line{'s' if note.num_rows > 1 else ''} {shown}{more}"


def _rows(number: int) -> str:
    return f"{number} row{'' if number == 1 else 's'}"


def _percent(share: float) -> str:
    """A share as a percentage that says 0 % or 100 % only when it is that exactly."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %".replace(".0 %", " %")


def _by_reason(rejected: Iterable[Rejection], *, names_files: bool) -> tuple[RowNote, ...]:
    """One note per reason, the commonest first; line numbers count inside the rows' own files."""
    counted: Counter[str] = Counter()
    first: dict[str, list[Rejection]] = {}
    for rejection in rejected:
        counted[rejection.reason] += 1
        if len(rows := first.setdefault(rejection.reason, [])) < _LINES_NAMED:
            rows.append(rejection)
    notes = []
    for reason, rows in first.items():
        places = (f"{row.file}, line {row.line}" for row in rows) if names_files else ()
        notes.append(RowNote(reason, counted[reason], tuple(row.line for row in rows), tuple(places)))
    return tuple(sorted(notes, key=lambda note: (-note.num_rows, note.what)))


def _note(value: Mapping[str, Any]) -> RowNote:
    places = tuple(value.get("first_places", ()))
    return RowNote(value["what"], value["num_rows"], tuple(value["first_lines"]), places)


def nearest_rank(counted: Mapping[int, int], percent: int) -> int:
    """The smallest value that at least `percent` % of all do not exceed; 0 when there are none.

    `counted` says how often each value occurs.
    """
    values = sorted(counted)
    reached = itertools.accumulate(counted[value] for value in values)
    wanted = max(1, math.ceil(percent * sum(counted.values()) / 100))
    return next((value for value, so_far in zip(values, reached, strict=True) if so_far >= wanted), 0)
