"""What lies on the disk that finetui made and could do without, and taking it away. Nothing is found twice.

Only what can be spared is found: not the newest checkpoint of a run that can be resumed, nothing of a run that somebody
works on, nothing that a link leads to. What is removed gets another name first, so that a kill in the middle leaves no
half of anything: what has that name is a leftover, found the next time. The hub's cache and exports that lie outside a
run's folder are not touched. Not here: what is asked for and how it is told (`tui_app/desk_commands/clean`).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine import checkpoints
from engine.converted_models import shelf_of
from engine.errors import RunDirError
from engine.liveness import liveness, take_lock
from engine.run_dir import RunDir, list_runs
from engine.salvage import result_fault

Kind = Literal["leftovers", "checkpoints", "rows", "exports", "logs", "cache", "drafts", "runs"]
TRASH = ".trash-"
UNFINISHED = re.compile(r"\..+\.unfinished-(\d+)")
PREVIOUS = re.compile(r"\.(.+)\.previous")
DRAFTS = ("draft.json", "draft-unusable.json", "last-error.txt")
CACHED = ("dry-runs", "row-counts", "completion.json", "file-hashes.json")


@dataclass(frozen=True, slots=True)
class Spare:
    """Something that can be removed. `base` is the folder of finetui's that it has to lie in.

    `num_bytes` is what the disk gets back; of a file that has several names, its share. `told` is what is lost with it.
    """

    kind: Kind
    path: Path
    base: Path
    num_bytes: int
    told: str
    run: RunDir | None = None
    needed_by: tuple[str, ...] = ()
    """Runs that are worse off without it; it is removed only where it is named."""


def is_trained(run: RunDir) -> bool:
    """Whether the result of training is in its place."""
    return (run.adapter / checkpoints.MANIFEST).is_file()


def last_change(run: RunDir) -> float:
    """Unix time at which a run last told of something."""
    times = [path.lstat().st_mtime for path in run.events.glob("*.jsonl")]
    return max(times, default=run.path.stat().st_mtime)


def spares_of(run: RunDir, keep: int | None = None) -> Iterator[Spare]:
    """What can be spared of a run that nobody works on. `keep`: so many of the newest checkpoints stay.

    Left out, none stays of a trained run and the newest one of another.
    """
    base, trained = run.path, is_trained(run)
    for path in _inside(run.checkpoints):
        if path.name == checkpoints.STAGING or path.name.startswith(TRASH):
            yield _spare("leftovers", path, base, "a checkpoint that was never finished", run)
    kept = (0 if trained else 1) if keep is None else keep
    told = "only training needs them" if trained else "an earlier one: the newest stays, to resume from"
    lost = () if trained or kept else (run.name,)
    told = "without one the run begins anew" if lost else told
    for path in sorted((path for path in _inside(run.checkpoints) if _step(path) >= 0), key=_step, reverse=True)[kept:]:
        yield _spare("checkpoints", path, base, told, run, lost)
    if trained:
        for path in sorted(run.dataset.glob("*.parquet")):
            yield _spare("rows", path, base, "rows as tokens: for `export --imatrix` only, once trained", run)
        for path in sorted(run.log.glob("*.txt")):
            yield _spare("logs", path, base, "what libraries printed", run)
    yield from _exports(run, trained=trained)


def _exports(run: RunDir, *, trained: bool) -> Iterator[Spare]:
    there = {path.name for path in _inside(run.exports)}
    for path in _inside(run.exports):
        unfinished, previous = UNFINISHED.fullmatch(path.name), PREVIOUS.fullmatch(path.name)
        if path.name.startswith(TRASH) or (unfinished and not Path(f"/proc/{unfinished[1]}").exists()):
            yield _spare("leftovers", path, run.path, "an export that was cut off", run)
        elif previous and previous[1] in there:
            yield _spare("leftovers", path, run.path, "what an export replaced", run)
        elif trained and not path.name.startswith("."):
            yield _spare("exports", path, run.path, "`finetui export` makes it again", run)


def whole_run(run: RunDir) -> Spare:
    """A run with everything in its folder."""
    told = "its result with it" if is_trained(run) else "it can be resumed until then"
    return _spare("runs", run.path, run.path.parent, told, run)


def spares_around(home: Path, cache: Path) -> Iterator[Spare]:
    """What can be spared of what no single run owns."""
    for folder in (home / "runs", home, cache, shelf_of(cache)):
        for path in _inside(folder):
            if path.name.startswith(TRASH):
                yield _spare("leftovers", path, folder, "being removed when something ended that")
    for name in DRAFTS:
        if (home / name).is_file():
            yield _spare("drafts", home / name, home, "what the wizard was told" if "draft" in name else "an old error")
    for name in CACHED:
        if (cache / name).exists():
            yield _spare("cache", cache / name, cache, "worked out again when it is needed")
    users = _users_of_models(home)
    for path in _inside(shelf_of(cache)):
        if path.is_dir() and not path.name.startswith("."):
            needed_by = tuple(users.get(path, ()))
            yield _spare("cache", path, cache, "made again from its GGUF file", needed_by=needed_by)


def in_use(run: RunDir) -> str:
    """Why nothing of a run may be removed; "" where it may."""
    try:
        state = liveness(run)
    except RunDirError as fault:
        return fault.happened
    return "" if state == "dead" else f"run {run.name} is in use ({state})"


def removed(spares: Sequence[Spare]) -> Iterator[tuple[Spare, RunDirError | None]]:
    """Take each away, with why it could not be: renamed first, then removed piece by piece. Links are not followed.

    A run is held meanwhile, so that nobody begins to work on it; what it could be made good from stays.
    """
    by_run: dict[Path | None, list[Spare]] = {}
    for spare in spares:
        by_run.setdefault(spare.run.path if spare.run else None, []).append(spare)
    for those in by_run.values():
        lock, refused = None, None
        try:
            if run := those[0].run:
                lock = _held(run)
        except RunDirError as fault:
            refused = fault
        try:
            way_back = refused or _no_way_back(those)
            for spare in those:
                needs_it = spare.kind in ("checkpoints", "rows") and not spare.needed_by
                yield spare, refused or (way_back if needs_it else None) or _discarded(spare)
        finally:
            if lock is not None:
                os.close(lock)


def _held(run: RunDir) -> int:
    why = in_use(run)
    lock = None if why else take_lock(run)
    if lock is None:
        raise RunDirError(
            f"Nothing of run {run.name} was removed: {why or 'it is being started'}.",
            remedy=f"Wait for its end, or end it: finetui stop {run.typed}",
        )
    return lock


def _no_way_back(spares: Sequence[Spare]) -> RunDirError | None:
    """What a damaged result, or a damaged newest checkpoint, could be made good from stays: why it does, else None."""
    run = spares[0].run
    if run is None or not any(each.kind in ("checkpoints", "rows") for each in spares):
        return None
    newest = max(_inside(run.checkpoints), key=_step, default=None)
    if is_trained(run):
        fault, what = result_fault(run.adapter), "result"
    else:
        fault, what = (checkpoints.fault_of(newest) if newest else "there is none"), "newest checkpoint"
    if not fault:
        return None
    return RunDirError(
        f"The {what} of run {run.name} is damaged: {fault}.",
        means="Its checkpoints and rows were kept: the run can go on from what is left.",
        remedy=f"Do that first: finetui resume {run.typed}",
    )


def _discarded(spare: Spare) -> RunDirError | None:
    """Remove it; why it could not be."""
    path = spare.path
    if not lies_inside(path, spare.base):
        return RunDirError(f"{path} is a link, or leads out of {spare.base}.", means="It was left as it is.")
    aside = path if path.name.startswith(TRASH) else path.with_name(f"{TRASH}{secrets.token_hex(4)}-{path.name[:100]}")
    try:
        path.rename(aside)
        if aside.is_dir():
            shutil.rmtree(aside)
        else:
            aside.unlink()
    except FileNotFoundError:
        return None  # somebody else was quicker
    except OSError as fault:
        return RunDirError(
            f"{fault.filename or path} cannot be removed: {fault.strerror}.",
            means="What is left of it is used by nothing." if aside.exists() else "It is as it was.",
            remedy="Make the folder around it writable, then: finetui clean --leftovers",
        )
    return None


def lies_inside(path: Path, base: Path) -> bool:
    """Whether a path is no link and has none above it up to `base`."""
    return not path.is_symlink() and path.parent.resolve() / path.name == base.resolve() / path.relative_to(base)


def size_of(path: Path) -> int:
    """Bytes that the disk gets back once it is removed; links are not followed."""
    found = path.lstat()
    if not path.is_dir() or path.is_symlink():
        return found.st_size // max(found.st_nlink, 1)
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                each = os.lstat(f"{folder}/{name}")
            except OSError:
                continue
            total += each.st_size // max(each.st_nlink, 1)
    return total


def runs_here(home: Path) -> Sequence[RunDir]:
    """The runs that lie in the home itself; a link to one elsewhere is none of them."""
    root = (home / "runs").resolve()
    return [run for run in list_runs(home / "runs") if run.path.parent == root]


def _spare(
    kind: Kind, path: Path, base: Path, told: str, run: RunDir | None = None, needed_by: tuple[str, ...] = ()
) -> Spare:
    return Spare(kind, path, base, size_of(path), told, run, needed_by)


def _inside(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where there is none or a link leads there."""
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _step(path: Path) -> int:
    match = re.fullmatch(r"checkpoint-(\d+)", path.name)
    return int(match[1]) if match else -1


def _users_of_models(home: Path) -> dict[Path, list[str]]:
    """The runs that name a model's folder as what they load."""
    found: dict[Path, list[str]] = {}
    for run in runs_here(home):
        try:
            folder = Path(json.loads(run.model.read_bytes())["folder"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found.setdefault(folder, []).append(run.name)
    return found
