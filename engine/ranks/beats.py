"""The sign of life of one rank: who it is, what it is doing, and a count that goes up while it lives.

One small file per rank, `R.beat`, replaced whole. Not here: what silence means (`watching`), and the thread that
writes (`training.ranks`).
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.liveness import ProcessIdentity

BEAT_SECONDS = 2.0
ENDED = "ended"
"""Phase of a rank that has said its last word."""
LOST = "lost"
"""Name of the mark that one of the ranks is gone."""
PAUSED = "paused"
COLLECTIVE = ("first step", "step", "optimizer", "between steps")
"""Phases that take about as long on every rank and at every step."""


@dataclass(frozen=True, slots=True)
class Beat:
    """`step` and `phase` are how far the rank is, `count` goes up with every beat."""

    rank: int
    process: ProcessIdentity
    count: int
    phase: str
    step: int

    def write(self, folder: Path) -> None:
        """Replace the rank's file. Not flushed to disk: it says nothing once the machine has failed."""
        temporary = folder / f".{self.rank}.beat"
        temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")
        temporary.replace(folder / f"{self.rank}.beat")


def writer_of(attempt: int, rank: int) -> str:
    """Name of the event file that a rank writes."""
    return f"attempt-{attempt}-rank-{rank}" if rank else f"attempt-{attempt}"


def mark_lost(folder: Path) -> None:
    """Tell the ranks of a folder that one of them is gone; they may wait for it in a library that does not notice."""
    with contextlib.suppress(OSError):
        (folder / LOST).touch()


def is_lost(folder: Path) -> bool:
    return (folder / LOST).exists()


def read_beats(folder: Path) -> dict[int, Beat]:
    """The newest beat of every rank that ever beat. A file that cannot be read counts as absent."""
    found = {}
    for path in folder.glob("[0-9]*.beat"):
        try:
            raw = json.loads(path.read_bytes())
            process = ProcessIdentity(**raw.pop("process"))
            beat = Beat(process=process, **raw)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            continue
        found[beat.rank] = beat
    return found
