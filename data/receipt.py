"""The receipt: what of the rows will be trained, counted before training starts. Pure; the engine counts the tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from data.detection import Detection
from data.errors import DataError
from data.rows import Rejection

OnOverflow = Literal["truncate", "drop", "refuse"]
COLUMNS = 78
_LINES_NAMED = 5


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
    """Something that befell `num_rows` rows, with the first few of their line numbers."""

    what: str
    num_rows: int
    first_lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What goes into training and what is lost on the way.

    Lengths are tokens per row before truncation (nearest rank). Shares are 0-1. What a row over `max_length` loses
    is counted for all its tokens when such rows are dropped, and for the part cut off otherwise. `num_trained_kept`
    of `num_tokens_kept` tokens are trained.
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
        notes = {name: _note(value[name]) for name in ("over_length", "answer_cut_away", "without_stop_token")}
        rejected = tuple(_note(note) for note in value["rejected"])
        return cls(**{**value, **notes, "rejected": rejected, "detection": Detection(**value["detection"])})


def build_receipt(
    counts: Sequence[TokenCount],
    *,
    max_length: int | None,
    on_overflow: OnOverflow,
    rejected: Iterable[Rejection],
    split_sizes: Mapping[str, int],
    duplicates: int,
    detection: Detection,
) -> Receipt:
    """Add up the counts of the train rows. `max_length` is in tokens; `split_sizes` has train, eval and test."""
    if on_overflow not in get_args(OnOverflow):
        raise ValueError(f"on_overflow is {on_overflow!r}, not one of {get_args(OnOverflow)}")
    over = [count for count in counts if max_length is not None and count.num_tokens > max_length]
    dropped = over if on_overflow == "drop" else []
    dropped_ids = {id(count) for count in dropped}
    kept = [count for count in counts if id(count) not in dropped_ids]
    lengths = sorted(count.num_tokens for count in counts)
    num_tokens_kept = sum(count.num_tokens_kept for count in kept)
    num_trained_kept = sum(count.num_trained_kept for count in kept)
    return Receipt(
        num_train=split_sizes["train"],
        num_eval=split_sizes["eval"],
        num_test=split_sizes["test"],
        num_duplicates=duplicates,
        detection=detection,
        max_length=max_length,
        on_overflow=on_overflow,
        length_p50=nearest_rank(lengths, 50),
        length_p95=nearest_rank(lengths, 95),
        length_p99=nearest_rank(lengths, 99),
        length_max=lengths[-1] if lengths else 0,
        over_length=_noted("longer than max_length", over),
        share_over_length=len(over) / len(counts) if counts else 0.0,
        num_tokens_lost=sum(count.num_tokens for count in counts) - num_tokens_kept,
        num_trained_lost=sum(count.num_trained for count in counts) - num_trained_kept,
        num_rows_dropped=len(dropped),
        num_rows_kept=len(kept),
        num_tokens_kept=num_tokens_kept,
        num_trained_kept=num_trained_kept,
        share_trained=num_trained_kept / num_tokens_kept if num_tokens_kept else 0.0,
        answer_cut_away=_noted(
            "answer cut away", [count for count in kept if count.num_trained and not count.num_trained_kept]
        ),
        without_stop_token=_noted("no trained stop token", [count for count in kept if not count.stop_token_trained]),
        rejected=_by_reason(rejected),
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
        ("format", f"{detection.format} ({_percent(detection.certainty)} sure): {detection.reason}"),
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


def _wrapped(name: str, fact: str) -> list[str]:
    """One fact behind its name, wrapped; characters that a terminal would act on are shown as escapes."""
    import textwrap

    literal = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in fact)
    return textwrap.wrap(literal, COLUMNS, initial_indent=f"{name:<16}", subsequent_indent=" " * (16 if name else 18))


def _lines_named(note: RowNote) -> str:
    shown = ", ".join(map(str, note.first_lines))
    more = ", …" if note.num_rows > len(note.first_lines) else ""
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


def _noted(what: str, counts: Sequence[TokenCount]) -> RowNote:
    return RowNote(what, len(counts), tuple(sorted(count.line for count in counts)[:_LINES_NAMED]))


def _by_reason(rejected: Iterable[Rejection]) -> tuple[RowNote, ...]:
    """One note per reason, the commonest first; line numbers count inside the rows' own files."""
    by_reason: dict[str, list[int]] = {}
    for rejection in rejected:
        by_reason.setdefault(rejection.reason, []).append(rejection.line)
    notes = [RowNote(reason, len(found), tuple(found[:_LINES_NAMED])) for reason, found in by_reason.items()]
    return tuple(sorted(notes, key=lambda note: (-note.num_rows, note.what)))


def _note(value: Mapping[str, Any]) -> RowNote:
    return RowNote(value["what"], value["num_rows"], tuple(value["first_lines"]))


def nearest_rank(ordered: Sequence[int], percent: int) -> int:
    """The smallest value that at least `percent` % of the ordered values do not exceed; 0 when there are none."""
    return ordered[max(0, math.ceil(percent * len(ordered) / 100) - 1)] if ordered else 0
