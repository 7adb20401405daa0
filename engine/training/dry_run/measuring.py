"""What a record amounts to: peaks by phase, and the terms alive at the highest moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from engine.dry_run_types import TERMS
from engine.training.dry_run.tracking import Record

STATIC = ("weights", "quantization overhead", "adapter", "gradients", "optimizer state")
PHASES = ("forward", "backward", "optimizer", "eval")


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes: see engine.dry_run_types.DryRun, which has the same names."""

    loaded_bytes: int
    resident_bytes: int
    phases: tuple[tuple[str, int], ...]
    terms: tuple[tuple[str, int], ...]
    peak_bytes: int


def measure(record: Record) -> Measured:
    """Walk through a record once. Raises ValueError for one without a step."""
    phases, at_begin = _peaks(record)
    if not phases:
        raise ValueError("a record without a step has no peak")
    highest = max(phases, key=lambda name: phases[name][0])
    peak, position = phases[highest]
    return Measured(
        loaded_bytes=at_begin["state"],
        resident_bytes=at_begin["forward"],
        phases=tuple((name, phases[name][0]) for name in PHASES if name in phases),
        terms=_terms(record, position),
        peak_bytes=peak,
    )


def segments(record: Record) -> Iterator[tuple[str, int, int]]:
    """(mark, first event, end) for each stretch of events between two marks."""
    marks = [*record.marks, (len(record.events), "end of record")]
    for (first, name), (end, _) in pairwise(marks):
        yield name, first, end


def _peaks(record: Record) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
    """By phase: (peak, number of events up to it); and the bytes alive where each phase first begins."""
    peaks: dict[str, tuple[int, int]] = {}
    at_begin: dict[str, int] = {}
    current, phase = 0, ""
    for name, first, end in segments(record):
        if " " not in name:
            phase = name
            at_begin.setdefault(name, current)
        if phase in PHASES and current > peaks.get(phase, (0, 0))[0]:
            peaks[phase] = (current, first)
        for position in range(first, end):
            current += record.events[position][1]
            if phase in PHASES and current > peaks.get(phase, (0, 0))[0]:
                peaks[phase] = (current, position + 1)
    return peaks, at_begin


def _terms(record: Record, position: int) -> tuple[tuple[str, int], ...]:
    """The bytes alive after `position` events, by term."""
    stored, around_head = _stored(record), _around_head(record)
    terms = dict.fromkeys(TERMS, 0)
    for tensor, size in _alive(record, position).items():
        kind = record.kinds[tensor]
        if kind not in STATIC:
            if tensor in around_head:
                kind = "logits and loss"
            elif kind != "recomputed" and tensor not in stored:
                kind = "temporaries"
            else:
                kind = "activations"
        terms[kind] += size
    return tuple(terms.items())


def _alive(record: Record, position: int) -> dict[int, int]:
    """Bytes by tensor after `position` events."""
    alive: dict[int, int] = {}
    for tensor, size in record.events[:position]:
        if size > 0:
            alive[tensor] = size
        else:
            del alive[tensor]
    return alive


def _stored(record: Record) -> set[int]:
    """Tensors that the forward pass left for the backward pass."""
    starts = [position for position, name in record.marks if name == "backward"]
    return {tensor for start in starts for tensor in _alive(record, start)}


def _around_head(record: Record) -> set[int]:
    """Tensors made after the last layer's forward and before its backward pass."""
    found: set[int] = set()
    inside = False
    for name, first, end in segments(record):
        word = name.partition(" ")[0]
        inside = word == "after" or (word == "backward" and name == word and inside)
        if inside:
            found.update(tensor for tensor, size in record.events[first:end] if size > 0)
    return found
