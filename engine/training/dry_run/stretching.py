"""The record of a whole model from that of a shallow one: layers of a kind do the same, so one stands for all.

`shallow_layers` chooses which layers must be run, `stretch` repeats their events with the right owners. Exact
where layers only touch what they, their neighbours and the rest of the model made; otherwise it refuses.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from engine.training.dry_run.measuring import segments
from engine.training.dry_run.tracking import Record

_EDGE = 2
"""Layers at either end that stand only for themselves: the first and the last differ from the others."""


class UnstretchableError(Exception):
    """The shallow record cannot stand for the whole model; run it in full."""


def shallow_layers(types: Sequence[Hashable]) -> list[int]:
    """Indices into `types`, the kind of every layer, of the layers that a shallow model needs."""
    wanted = set(_surroundings(types))
    kept = list(range(len(types)))
    length = len(kept) - 1
    while length > 0:
        for start in range(len(kept) - length + 1):
            tried = kept[:start] + kept[start + length :]
            if tried and set(_surroundings([types[index] for index in tried])) == wanted:
                kept = tried
                break
        else:
            length -= 1
            continue
        length = min(length, len(kept) - 1)
    return kept


def stand_ins(types: Sequence[Hashable], kept: Sequence[int]) -> list[int]:
    """For every layer of the whole model: which layer of the shallow one stands for it."""
    shallow = _surroundings([types[index] for index in kept])
    return [shallow.index(surrounding) for surrounding in _surroundings(types)]


def stretch(shallow: Record, stand_in: Sequence[int]) -> Record:
    """The record of the model whose layer i does what layer `stand_in[i]` of the shallow one did."""
    return _Stretching(shallow, stand_in).run()


def _surroundings(types: Sequence[Hashable]) -> list[Hashable]:
    """What decides a layer's events: its kind, its neighbours' kinds, and its place if that is near an end."""
    last = len(types) - 1
    return [
        (min(i, _EDGE), min(last - i, _EDGE), types[i - 1] if i else None, kind, types[i + 1] if i < last else None)
        for i, kind in enumerate(types)
    ]


@dataclass(slots=True)
class _Segment:
    """A stretch of events. `layer` is None outside the layers; `key` tells apart passes over the same layers."""

    key: tuple[int, str]
    layer: int | None
    marks: list[str]
    events: list[tuple[int, int]] = field(default_factory=list)


def _cut(record: Record) -> list[_Segment]:
    last = max((int(name.partition(" ")[2]) for _, name in record.marks if " " in name), default=-1)
    found: list[_Segment] = []
    phase = 0
    for name, first, end in segments(record):
        word, _, number = name.partition(" ")
        events = record.events[first:end]
        if word == "after" and int(number) != last:
            found[-1].events += events
        elif number and word != "after":
            found.append(_Segment((phase, word), int(number), [name], events))
        else:
            phase += not number
            found.append(_Segment((phase, word), None, [name], events))
    return found


class _Stretching:
    def __init__(self, shallow: Record, stand_in: Sequence[int]) -> None:
        self.shallow, self.stand_in = shallow, stand_in
        self.segments = _cut(shallow)
        self.result = Record()
        self.copies: dict[int, list[int]] = {}
        for full, template in enumerate(stand_in):
            self.copies.setdefault(template, []).append(full)
        # Shallow tensor -> (where it was made, the how-manieth there, its layer).
        self.origin: dict[int, tuple[tuple[int, str], int, int | None]] = {}
        self.alive: dict[tuple[tuple[int, str], int, int | None], int] = {}
        self._find_origins()

    def run(self) -> Record:
        for layered, group in groupby(self.segments, key=lambda s: s.key if s.layer is not None else None):
            passage = list(group)
            if layered is None:
                for segment in passage:
                    self._outside(segment)
                continue
            by_layer = {segment.layer: segment for segment in passage}
            backwards = layered[1] == "backward"
            for full in sorted(range(len(self.stand_in)), reverse=backwards):
                self._inside(by_layer[self.stand_in[full]], full)
        return self.result

    def _find_origins(self) -> None:
        for segment in self.segments:
            counts: dict[int | None, int] = {}
            for tensor, size in segment.events:
                if size > 0:
                    layer = segment.layer if segment.layer is not None else self.shallow.layers[tensor]
                    number = counts.get(layer, 0)
                    counts[layer] = number + 1
                    self.origin[tensor] = (segment.key, number, layer)

    def _outside(self, segment: _Segment) -> None:
        """Events between the layers. A run of events about one layer's tensors is repeated for all it stands for."""
        self._mark(segment, None)
        for layer, group in groupby(segment.events, key=lambda event: self.origin[event[0]][2]):
            events = list(group)
            for full in [None] if layer is None else self.copies.get(layer, []):
                for tensor, size in events:
                    self._emit(tensor, size, full)

    def _inside(self, segment: _Segment, full: int) -> None:
        self._mark(segment, full)
        assert segment.layer is not None
        backwards = segment.key[1] == "backward"
        last = full == (min if backwards else max)(self.copies[segment.layer])
        for tensor, size in segment.events:
            layer = self.origin[tensor][2]
            if layer is not None:
                self._emit(tensor, size, full + layer - segment.layer)
            elif size > 0 or last:  # what all layers use goes with the last of those that this one stands for
                self._emit(tensor, size, None)

    def _mark(self, segment: _Segment, full: int | None) -> None:
        for name in segment.marks:
            word, _, number = name.partition(" ")
            if not number:
                self.result.mark(name)
            else:
                self.result.mark(f"{word} {len(self.stand_in) - 1 if full is None else full}")

    def _emit(self, tensor: int, size: int, full: int | None) -> None:
        key, number, _ = self.origin[tensor]
        name = (key, number, full)
        if size > 0:
            new = len(self.result.kinds)
            self.result.kinds.append(self.shallow.kinds[tensor])
            self.result.layers.append(full)
            self.alive[name] = new
            self.result.events.append((new, size))
            return
        if name not in self.alive:
            raise UnstretchableError(f"nothing alive answers to {name}")
        self.result.events.append((self.alive.pop(name), size))
