"""How an artifact gets to its place: written beside it, listed and hashed, and put there by a rename.

    made_from = origin(job, quantization="Q8_0")
    if (event := up_to_date(job.place / name, made_from)) and not forced: ...
    with staged(job.place, name, made_from, num_bytes) as folder:
        ...                                    # write into `folder`, read it again, raise where it is not good
    event = remember(job.place / name, ArtifactExported(...))

What lay there before lies there until the rename, and after a failure. An artifact is a folder with `MANIFEST` in it,
or one file (`staged_file`) with its manifest beside it. Not here: what is written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib.metadata
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data.file_modes import released, users_umask
from engine.checkpoints import MANIFEST as RESULT_MANIFEST
from engine.errors import RunDirError
from engine.events import ArtifactExported
from engine.exporters import Job
from engine.file_hashes import sha256_of
from engine.flushing import fsync_folder, fsync_tree
from engine.run_dir import read_json, write_atomic
from engine.units import format_bytes

MANIFEST = "finetui-export.json"
VERSIONS = ("torch", "transformers", "peft", "gguf", "llama-cpp-python", "finetui")
KEPT_FREE_BYTES = 64 * 1024**2
"""Left free on the disk besides what is written."""


def origin(job: Job, **settings: Any) -> dict[str, Any]:
    """What an artifact is made from: equal values make an equal artifact. `settings` are those that matter to it."""
    base = read_json(job.run.model)
    return {
        "run": job.run.name,
        "result_sha256": result_sha256(job),
        "method": job.plan.method,
        "base": base["name"] if "name" in base else base["folder"],
        "base_sha256": [each["sha256"] for each in base.get("files", ())],
        "settings": json.loads(json.dumps(settings)),
    }


def result_sha256(job: Job) -> str:
    """SHA-256 of the trained weights, which names them. Raises RunDirError where they are not as they were written."""
    manifest = job.run.adapter / RESULT_MANIFEST
    weights = sorted(path.name for path in job.run.adapter.glob("*.safetensors"))
    written = read_json(manifest)["files"] if manifest.exists() else {}
    found = {name: sha256_of(job.run.adapter / name) for name in weights}
    known = {name: entry["sha256"] for name, entry in written.items() if name.endswith(".safetensors")}
    if not found or (known and found != known):
        raise RunDirError(
            f"The trained weights in {job.run.adapter} are not as training wrote them.",
            means="A file of them was changed, cut short or removed; nothing was exported.",
            remedy="Remove that folder, then `finetui resume` the run: it is made again from the last checkpoint.",
        )
    return max(found.values()) if len(found) == 1 else _joined(found)


def up_to_date(final: Path, made_from: Mapping[str, Any]) -> ArtifactExported | None:
    """What was said of the artifact when it was put there, if it is whole and made from the same."""
    try:
        manifest = json.loads(manifest_of(final).read_bytes())
        event = _event(manifest["event"])
        same = manifest["made_from"] == made_from
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return event if same and is_whole(final) else None


def is_whole(final: Path) -> bool:
    """Whether every file of an artifact is there with the bytes its manifest names."""
    try:
        files = json.loads(manifest_of(final).read_bytes())["files"]
        inside = final if final.is_dir() else final.parent
        return bool(files) and all(
            (inside / name).stat().st_size == entry["bytes"] and sha256_of(inside / name) == entry["sha256"]
            for name, entry in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def manifest_of(final: Path) -> Path:
    """Where an artifact's manifest lies: in a folder, or beside a file."""
    return final / MANIFEST if final.is_dir() else final.with_name(f"{final.name}.json")


def remember(final: Path, event: ArtifactExported) -> ArtifactExported:
    """Note what was measured of an artifact in its manifest; without that note it counts as unfinished."""
    manifest = manifest_of(final)
    write_atomic(manifest, json.dumps(read_json(manifest) | {"event": dataclasses.asdict(event)}, indent=1))
    if not is_of_run(final.parent):
        released(manifest)
    return event


def place_name(job: Job, final: Path) -> str:
    """`final` as an event names it: relative to the run where it lies in it."""
    return str(final.relative_to(job.run.path) if final.is_relative_to(job.run.path) else final)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


@contextlib.contextmanager
def staged(place: Path, name: str, made_from: Mapping[str, Any], num_bytes: int = 0) -> Iterator[Path]:
    """A fresh folder that becomes `place/name` when the block ends well, and vanishes when it does not.

    `num_bytes` is what will be written, checked before. Raises RunDirError for a disk that is full or refuses,
    and for something at `place/name` that finetui did not put there.
    """
    with workplace(place, name, num_bytes) as folder:
        yield folder
        files = _listed(folder)
        write_atomic(folder / MANIFEST, _manifest(name, made_from, files))
        if not is_of_run(place):
            released(folder)
        fsync_tree(folder)
        final, previous = place / name, _previous(place, name)
        if final.exists():
            final.rename(previous)
        try:
            folder.rename(final)
        except OSError:
            _restore(place, name)
            raise
        fsync_folder(place)
        shutil.rmtree(previous, ignore_errors=True)


@contextlib.contextmanager
def staged_file(place: Path, name: str, made_from: Mapping[str, Any], num_bytes: int = 0) -> Iterator[Path]:
    """The same for one file `name`, which the block writes into the folder it is given. Other files there are dropped.

    Its manifest is renamed first: after a kill between the two it names another content, and the file counts as
    not up to date.
    """
    with workplace(place, name, num_bytes) as folder:
        yield folder
        file = folder / name
        if not file.is_file():
            raise ValueError(f"{name} was not written into the folder for it")
        files = {key: entry for key, entry in _listed(folder).items() if key == name}
        write_atomic(manifest_of(place / name), _manifest(name, made_from, files))
        if not is_of_run(place):
            released(manifest_of(place / name))
            released(file)
        file.replace(place / name)
        fsync_folder(place)


@contextlib.contextmanager
def workplace(place: Path, name: str, num_bytes: int = 0) -> Iterator[Path]:
    """A fresh folder beside the final place, gone afterwards whatever happens: room for what is only on the way."""
    folder = place / f".{name}.unfinished-{os.getpid()}"
    try:
        with contextlib.nullcontext() if is_of_run(place) else users_umask():
            place.mkdir(parents=True, exist_ok=True)
        _restore(place, name)
        _remove_leftovers(place, name)
        refuse_foreign(place / name)
        room_for(place, num_bytes)
        folder.mkdir(mode=0o700)
        yield folder
    except OSError as fault:
        raise _disk_fault(place / name, fault) from fault
    except RuntimeError as fault:
        if is_disk_full(fault):  # torch's own error has no errno
            raise _disk_fault(place / name, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) from fault
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_of_run(place: Path) -> bool:
    """Whether a folder lies in that of a run, which only its owner reads; another follows the person's umask."""
    return any((each / "events").is_dir() and (each / "recipe.toml").is_file() for each in place.absolute().parents)


def room_for(place: Path, num_bytes: int) -> None:
    """Raises RunDirError when the disk of `place` cannot hold that much and a little more."""
    existing = next(each for each in (place, *place.absolute().parents) if each.exists())
    free = shutil.disk_usage(existing).free
    if num_bytes and free < num_bytes + KEPT_FREE_BYTES:
        raise RunDirError(
            f"The disk of {place} has {format_bytes(free)} free; the export needs "
            f"{format_bytes(num_bytes + KEPT_FREE_BYTES)}.",
            means="Nothing was written; what was exported before is as it was.",
            remedy="Free space there, or choose another disk: finetui export … --output FOLDER.",
        )


def refuse_foreign(final: Path) -> None:
    """Raises RunDirError for something at an artifact's place that finetui did not put there."""
    if (final.exists() or final.is_symlink()) and not manifest_of(final).is_file():
        raise RunDirError(
            f"{final} is there already, and finetui did not make it.",
            means="It would be replaced, so nothing was exported.",
            remedy="Move it away, or choose another folder with --output.",
        )


def is_disk_full(fault: BaseException) -> bool:
    """Whether a library's error is the disk's: those of compiled code carry only its words."""
    return getattr(fault, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or bool(
        re.search(r"No space left on device|os error 28|Disk quota exceeded", str(fault))
    )


def _disk_fault(final: Path, fault: OSError) -> RunDirError:
    return RunDirError(
        f"{final} cannot be written: {fault.strerror or fault}.",
        means="What was half-made is removed; what was exported before is as it was.",
        remedy="Free space on that disk or make the folder writable, or choose another one with --output, "
        "then export again.",
    )


def _listed(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and hash of every file of a folder, each flushed to the disk before."""
    files = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        name = path.relative_to(folder).as_posix()
        files[name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    return files


def _manifest(name: str, made_from: Mapping[str, Any], files: Mapping[str, Any]) -> str:
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    record = {"artifact": name, "created": created, "made_from": made_from, "versions": _versions(), "files": files}
    return json.dumps(record, indent=1)


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _event(values: Mapping[str, Any]) -> ArtifactExported:
    return ArtifactExported(**{**values, "notes": tuple(values.get("notes", ()))})


def _joined(found: Mapping[str, str]) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _previous(place: Path, name: str) -> Path:
    return place / f".{name}.previous"


def _restore(place: Path, name: str) -> None:
    """Put back what was moved away for a replacement that never came."""
    previous = _previous(place, name)
    if not previous.exists():
        return
    if (place / name).exists():
        shutil.rmtree(previous, ignore_errors=True)
    else:
        previous.rename(place / name)


def _remove_leftovers(place: Path, name: str) -> None:
    """What killed attempts left half-made. One whose process lives is somebody else's work."""
    for path in place.glob(f".{_literal(name)}.unfinished-*"):
        number = path.name.rpartition("-")[2]
        if not (number.isdigit() and int(number) != os.getpid() and Path(f"/proc/{number}").exists()):
            shutil.rmtree(path, ignore_errors=True)


def _literal(name: str) -> str:
    """A name in which no character is a pattern."""
    return re.sub(r"([*?[])", r"[\1]", name)


def link_or_copy(source: Path, target: Path) -> bool:
    """The file in two places, without its bytes twice where the disk has hard links; whether it has."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        return False
    return True
