"""One line of the history per run: read from the end of its files, so that a thousand runs are listed at once.

Lives here: the values of a row, and the history as a list that is read bit by bit, filtered and sorted. Not here: how
a row is drawn (`tui_app/runs/history_table`).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import RunDirError
from engine.event_log import decode
from engine.events import ArtifactExported, RunFinished, Stamped, VariantScored
from engine.liveness import liveness
from engine.run_dir import RunDir, runs_root
from engine.run_state import RunState, fold_all
from tui_app.plain import one_line, standing

HEAD_BYTES, TAIL_BYTES = 8 * 1024, 24 * 1024
WHOLE_BYTES = 8 * 1024 * 1024
"""A supervisor's file is some kilobytes long. One longer than this is damaged, and its ends have to do."""
STEP = b'"event":"StepLogged"'
SKIPPED = (b'"event":"DeviceSampled"', b'"event":"EvaluationProgressed"', b'"event":"ExportProgressed"')
LIVE_PHASES = ("waiting", "preparing", "training", "paused", "evaluating", "exporting")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """What the history tells of a run. Unix times, seconds and bytes; None where nothing is known.

    `base` and `tuned` are shares of exact answers, 0 to 1. `damage` says why the folder cannot be read, else "".
    """

    run: RunDir
    phase: str
    recipe: str = ""
    host: str = ""
    step: int = 0
    max_steps: int = 0
    loss: float | None = None
    eval_loss: float | None = None
    base: float | None = None
    tuned: float | None = None
    peak_bytes: int | None = None
    started_at: float | None = None
    updated_at: float | None = None
    finished_seconds: float | None = None
    damage: str = ""
    scores: tuple[VariantScored, ...] = ()
    artifacts: tuple[ArtifactExported, ...] = ()
    asked: str = ""
    """What is being done of what was asked for after training."""

    @property
    def is_live(self) -> bool:
        return self.phase in LIVE_PHASES or self.phase.startswith(("unknown", "as of"))

    def seconds(self, now: float) -> float | None:
        """How long the run took, or has been going on at the Unix time `now`."""
        if self.finished_seconds is not None or self.started_at is None:
            return self.finished_seconds
        end = now if self.is_live else self.updated_at
        return None if end is None else max(end - self.started_at, 0.0)


def row_of(run: RunDir) -> RunRow:
    """The row of a run as its files stand now. Never raises for a damaged folder: the row says what is wrong."""
    try:
        alive = liveness(run)  # looked at first: what a dead process wrote is then read below
        state = summary_of(run)
    except (RunDirError, OSError) as fault:
        told = fault.happened if isinstance(fault, RunDirError) else f"{fault.filename}: {fault.strerror}"
        why = told.replace(f"{run.path}/", "")
        return RunRow(run=run, phase="damaged", damage=why, updated_at=_changed_at(run))
    if state.started_at is None and alive == "dead":
        why = "no event was ever written: the run was not started, or its files are gone"
        return RunRow(run=run, phase="damaged", damage=why, updated_at=_changed_at(run))
    own = [score for score in state.scores if score.dataset == "test"]
    base = next((score for score in own if score.variant.startswith("base")), None)
    tuned = next((score for score in own if score.variant == "tuned"), None)
    peak = state.measured or state.probed
    return RunRow(
        run=run,
        phase=standing(state, alive),
        recipe=state.recipe,
        host=state.host,
        step=state.step,
        max_steps=state.max_steps,
        loss=state.last_step.loss if state.last_step else None,
        eval_loss=state.evals[-1].loss if state.evals else None,
        base=_share(base),
        tuned=_share(tuned),
        peak_bytes=peak.peak_bytes if peak else None,
        started_at=state.started_at,
        updated_at=state.updated_at or _changed_at(run),
        finished_seconds=state.final.seconds if isinstance(state.final, RunFinished) else None,
        scores=state.scores,
        artifacts=state.artifacts,
        asked=state.request.title if state.request and not state.is_over else "",
    )


def summary_of(run: RunDir) -> RunState:
    """What the ends of an attempt's files and all of the supervisor's add up to. Raises OSError.

    About a millisecond even for a run of a hundred thousand steps. Last loss, phase, step and scores are the present
    ones; sums over steps are not there, and lists of what happened in between may lack their middle.
    """
    found: list[Stamped] = []
    for path in sorted(run.events.glob("*.jsonl")):
        # The supervisor's file tells the phases; a run that was resumed long ago tells of it in the middle.
        found += _events_of(path, whole=path.stem == "supervisor")
    found.sort(key=lambda stamped: (stamped.time, stamped.writer, stamped.seq))
    return fold_all(found)


def _events_of(path: Path, *, whole: bool) -> list[Stamped]:
    if not path.is_file():  # to open a pipe would wait for its writer
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    with path.open("rb") as file:
        size = path.stat().st_size
        if size <= (WHOLE_BYTES if whole else HEAD_BYTES + TAIL_BYTES):
            chunk = file.read()
        else:
            most = WHOLE_BYTES // 4 if whole else 0
            head = file.read(max(HEAD_BYTES, most)).rpartition(b"\n")[0]
            file.seek(size - max(TAIL_BYTES, most))
            chunk = head + b"\n" + file.read().partition(b"\n")[2]
    return list(_decoded(chunk))


def _decoded(chunk: bytes) -> Iterator[Stamped]:
    """The events in whole lines that a row needs: of the many logged steps only the last."""
    *lines, _unfinished = chunk.split(b"\n")
    last_step = max((number for number, line in enumerate(lines) if STEP in line[:160]), default=-1)
    for number, line in enumerate(lines):
        head = line[:160]
        if not line.strip() or (STEP in head and number != last_step) or any(kind in head for kind in SKIPPED):
            continue
        try:
            stamped = decode(line)
        except ValueError:  # a torn line; the live view counts them
            continue
        if stamped is not None:
            yield stamped


def _share(score: VariantScored | None) -> float | None:
    return score.num_correct / score.num_rows if score and score.num_rows else None


def _changed_at(run: RunDir) -> float | None:
    try:
        return run.events.stat().st_mtime
    except OSError:
        return None


def _highest(value: float | None) -> tuple[bool, float]:
    return (value is None, -(value or 0.0))


def _lowest(value: float | None) -> tuple[bool, float]:
    return (value is None, value or 0.0)


SORTS: dict[str, Callable[[RunRow], tuple[object, ...]]] = {
    "newest": lambda row: _highest(row.updated_at),
    "name": lambda row: (row.run.name,),
    "state": lambda row: (not row.is_live, row.phase),
    "loss": lambda row: _lowest(row.loss),
    "score": lambda row: _highest(row.tuned),
    "memory": lambda row: _highest(row.peak_bytes),
}
"""Orders by name, the order they are offered in. Runs without the value come last."""


def matches(row: RunRow, words: str) -> bool:
    """Whether every word is part of the run's name, recipe, state or host."""
    text = f"{row.run.name} {row.phase} {one_line(row.recipe)} {row.host}".casefold()
    return all(word in text for word in words.casefold().split())


@dataclass(slots=True)
class History:
    """Every run under a root, read bit by bit. `rows` holds what is read so far, by path."""

    root: Path = field(default_factory=runs_root)
    filter: str = ""
    sort: str = "newest"
    rows: dict[Path, RunRow] = field(default_factory=dict)
    _changed: dict[Path, float] = field(default_factory=dict)  # the newest first
    _unread: dict[Path, RunRow] = field(default_factory=dict)
    _pending: dict[Path, None] = field(default_factory=dict)

    @property
    def num_runs(self) -> int:
        return len(self._changed)

    @property
    def num_live(self) -> int:
        return sum(row.phase in LIVE_PHASES for row in self.rows.values())

    def look(self) -> None:
        """See which runs there are and which changed; those are read again by `read`. Raises nothing for a
        folder that is gone meanwhile."""
        found = dict(sorted(_folders(self.root).items(), key=lambda each: -each[1]))
        fresh = [path for path, changed in found.items() if self._changed.get(path) != changed]
        self.rows = {path: row for path, row in self.rows.items() if path in found}
        self._unread = {path: self._unread_row(path, found[path]) for path in found if path not in self.rows}
        self._pending = {path: None for path in (*self._pending, *fresh) if path in found}
        self._pending = dict.fromkeys(sorted(self._pending, key=lambda path: -found[path]))
        self._changed = found

    def touch(self) -> None:
        """Have the runs that go on read again: their event files grow without their folder changing."""
        for path, row in self.rows.items():
            if row.is_live:
                self._pending[path] = None

    def read(self, seconds: float, first: Iterable[Path] = ()) -> bool:
        """Read rows for about so long, those in `first` before the others; whether anything is left."""
        deadline = time.perf_counter() + seconds
        wanted = [path for path in first if path in self._pending]
        for path in (*wanted, *self._pending.copy()):
            if path in self._pending:
                del self._pending[path]
                self.rows[path] = row_of(RunDir(path))
            if time.perf_counter() > deadline:
                break
        return bool(self._pending)

    def shown(self) -> list[RunRow]:
        """The rows that match the filter, in order. Runs not read yet stand in their place, unless filtered."""
        newest = [self.rows.get(path) or self._unread[path] for path in self._changed]
        if self.filter.strip():
            newest = [row for row in newest if matches(row, self.filter)]
        return newest if self.sort == "newest" else sorted(newest, key=SORTS[self.sort])

    def _unread_row(self, path: Path, changed: float) -> RunRow:
        return self._unread.get(path) or RunRow(run=RunDir(path), phase="", updated_at=changed)


def _folders(root: Path) -> dict[Path, float]:
    """Path of each run under a root, with the time its list of event files last changed."""
    found: dict[Path, float] = {}
    if not root.is_dir():
        return found
    base = root.resolve()
    for path in base.iterdir():
        try:
            changed = (path / "events").stat().st_mtime
        except OSError:
            continue
        found[path] = changed
    return found
