"""Checkpoints that can be trusted: complete, hashed, visible only by rename.

transformers writes its files one by one and resumes from the highest number it sees, a missing optimizer
state included. So it writes below `staging/`; `seal` lists and hashes every file, flushes them and renames
the folder to `checkpoint-N/`; `newest` hands out only what is still exactly as sealed. Not here: torch.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.errors import RunDirError
from engine.file_hashes import sha256_of
from engine.flushing import fsync_folder, fsync_tree
from engine.run_dir import write_atomic

STAGING = "staging"
MANIFEST = "finetui-checkpoint.json"
REQUIRED = ("optimizer.pt", "scheduler.pt", "trainer_state.json")
"""What every checkpoint needs besides the random states of each rank."""
OTHER_SHAPE = "it was made under a plan of another shape"


@dataclass(frozen=True, slots=True)
class Progress:
    """What a checkpoint must remember besides its files, to be continued exactly."""

    num_rows: int = 0
    """Training rows that its steps were taken from; another number means another order. 0 where nobody knew."""
    rewarmed_at: int = 0
    """Step at which the optimizer began anew, and over how many steps its learning rate was led up again."""
    rewarmup_steps: int = 0
    num_ranks: int = 1
    """Processes that trained together: each has random states of its own."""
    without: tuple[str, ...] = ()
    """Random states that are not there: their rank was gone when the checkpoint was written."""

    @property
    def required(self) -> tuple[str, ...]:
        """Files without which a run resumed from here would silently differ from an uninterrupted one."""
        states = [random_states_file(rank, self.num_ranks) for rank in range(self.num_ranks)]
        return tuple(name for name in (*REQUIRED, *states) if name not in self.without)


def random_states_file(rank: int, num_ranks: int) -> str:
    """Name of the file that holds a rank's random states, as transformers reads it."""
    return "rng_state.pth" if num_ranks == 1 else f"rng_state_{rank}.pth"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    path: Path
    step: int
    num_bytes: int
    key: dict[str, Any] = field(default_factory=dict)
    """Of the plan it was made under: `Plan.checkpoint_key`."""
    progress: Progress = Progress()


def seal(staged: Path, folder: Path, step: int, key: dict[str, Any], progress: Progress = Progress()) -> Checkpoint:
    """Make a fully written folder visible as `folder/checkpoint-<step>`; it replaces what it overtakes.

    Raises RunDirError when a required file is missing or the disk refuses.
    """
    missing = [name for name in progress.required if not (staged / name).is_file()]
    if missing:
        raise RunDirError(
            f"The checkpoint of step {step} lacks {', '.join(missing)}.",
            means="A run resumed from it would differ from an uninterrupted one, so it is not kept.",
            remedy="Earlier checkpoints are intact: `finetui resume` continues from them.",
        )
    final = folder / f"checkpoint-{step}"
    try:
        manifest = {"step": step, "key": key, "progress": asdict(progress), "files": sealed_files(staged)}
        write_atomic(staged / MANIFEST, json.dumps(manifest, indent=1))
        _put(staged, final)
        num_bytes = _size(final)
    except OSError as fault:
        raise RunDirError(
            f"The checkpoint of step {step} cannot be kept: {fault.filename or folder}: {fault.strerror}.",
            means="What was being written is left out; earlier checkpoints are intact.",
            remedy="Look at that disk (`finetui doctor`) or move the run folder to another, then `finetui resume`.",
        ) from fault
    for path in folder.glob("checkpoint-*"):
        if _step(path) > step:  # passed over when this attempt began; kept, it would outlive this one in `prune`
            shutil.rmtree(path, ignore_errors=True)
    return Checkpoint(final, step, num_bytes, key, progress)


def sealed_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and hash of every file of a folder, all of it flushed to the disk before. Raises OSError."""
    fsync_tree(folder)
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in _files(folder)
    }


def _put(staged: Path, final: Path) -> None:
    folder, replaced = final.parent, final.parent / STAGING / "replaced"
    if final.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        replaced.parent.mkdir(exist_ok=True)
        final.rename(replaced)  # at no moment but between two renames is the step without a checkpoint
    staged.rename(final)
    fsync_folder(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def fault_of(path: Path, key: dict[str, Any] | None = None) -> str:
    """Why a checkpoint must not be used; empty when it is exactly as sealed and fits the plan's key."""
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        files = {str(name): (entry["bytes"], entry["sha256"]) for name, entry in manifest["files"].items()}
        made_under = dict(manifest["key"])
        required = _progress(manifest).required
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "its file list is missing or unreadable"
    if key is not None and not equal(made_under, key):
        return OTHER_SHAPE
    if manifest.get("step") != _step(path):
        return f"it is step {manifest.get('step')} under another name"
    if fault := changed_file(path, files):
        return fault
    absent = [name for name in required if name not in files]
    return f"{absent[0]} is missing" if absent else ""


def changed_file(folder: Path, files: Mapping[str, tuple[int, str]]) -> str:
    """Which of these files is not as it was: name -> (bytes, SHA-256); "" where all are."""
    for name, (num_bytes, sha256) in files.items():
        part = folder / name
        if not part.is_file():
            return f"{name} is missing"
        try:
            if part.stat().st_size != num_bytes or sha256_of(part) != sha256:
                return f"{name} is not as it was written"
        except OSError as fault:  # a failing disk lists what it cannot read
            return f"{name} cannot be read: {fault.strerror}"
    return ""


def equal(made_under: dict[str, Any], key: dict[str, Any]) -> bool:
    """Whether a checkpoint's key is that of a plan. Older checkpoints name more in theirs than matters."""
    return {name: made_under.get(name) for name in key} == key


def newest(
    folder: Path, key: dict[str, Any], also: Callable[[dict[str, Any]], bool] | None = None
) -> tuple[Checkpoint | None, list[str]]:
    """The newest usable checkpoint, and why each newer one was passed over.

    Usable means made under an equal key, or under one that `also` accepts.
    """
    passed_over = []
    for path in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
        if fault := fault_of(path):
            passed_over.append(f"{path.name}: {fault}")
            continue
        found = opened(path)
        if equal(found.key, key) or (also is not None and also(found.key)):
            return found, passed_over
        passed_over.append(f"{path.name}: {OTHER_SHAPE}")
    return None, passed_over


def opened(path: Path) -> Checkpoint:
    """The checkpoint of a folder that `fault_of` finds nothing wrong with."""
    manifest = json.loads((path / MANIFEST).read_bytes())
    return Checkpoint(path, _step(path), _size(path), dict(manifest["key"]), _progress(manifest))


def _progress(manifest: dict[str, Any]) -> Progress:
    found = Progress(**manifest.get("progress", {}))
    return replace(found, without=tuple(found.without))


def steps(folder: Path) -> list[int]:
    """The step of every checkpoint that is visible, usable or not."""
    return [step for path in folder.glob("checkpoint-*") if (step := _step(path)) >= 0]


def require_there(checkpoint: Path) -> None:
    """Raises RunDirError where a checkpoint that was read is not there any more: then only a part may have been read.

    transformers passes over files that it does not find: weights go on, but at step 1, or without the optimizer state.
    """
    if not (checkpoint / MANIFEST).is_file():
        raise RunDirError(
            f"The checkpoint {checkpoint} was moved or removed while it was read.",
            means="Only a part of it may have been read, so nothing goes on from it.",
            remedy="`finetui resume` goes on from the newest checkpoint that is whole.",
        )


def prune(folder: Path, keep: int) -> None:
    """Remove what was never finished and all but the newest `keep` checkpoints."""
    shutil.rmtree(folder / STAGING, ignore_errors=True)
    for path in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True)[keep:]:
        shutil.rmtree(path, ignore_errors=True)


def _step(path: Path) -> int:
    match = re.fullmatch(r"checkpoint-(\d+)", path.name)
    return int(match[1]) if match else -1


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files(folder))
