"""What a folder must hold to be a model that finetui trains, and what is wrong with one that does not.

Only names, sizes and headers are read, never weights. Where the folder comes from (given by the user, or the
hub's cache) is engine/model_source.py.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import ModelError

# One of these sets describes a tokenizer; the first is what current models ship.
TOKENIZER_FILES: tuple[tuple[str, ...], ...] = (
    ("tokenizer.json",),
    ("tokenizer.model",),
    ("vocab.json", "merges.txt"),
)
WEIGHT_INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
MAX_JSON_BYTES = 64 * 1024**2
"""Of a configuration or of an index of weights; the index of a model of a million tensors has this size."""
MAX_HEADER_BYTES = 100_000_000
"""Of a safetensors file, as in the library."""
_FILE_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]{1,200}\.safetensors")
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class FolderFault:
    """One reason why a folder cannot be used. `file` is the file that lacks or is broken."""

    file: str
    happened: str
    means: str
    remedy: str


def folder_fault(folder: Path) -> FolderFault | None:
    """The first thing that keeps `folder` from being a trainable model, or None when everything is there."""
    return next(_faults(folder), None)


def check_folder(folder: Path) -> None:
    """Raises ModelError naming exactly the file that lacks, or is broken, in a model folder."""
    if fault := folder_fault(folder):
        raise ModelError(fault.happened, means=fault.means, remedy=fault.remedy)


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json. Raises ModelError when it is missing or not a JSON object."""
    if fault := _config_fault(folder):
        raise ModelError(fault.happened, means=fault.means, remedy=fault.remedy)
    return _read_object(folder / "config.json")


def _faults(folder: Path) -> Iterator[FolderFault]:
    if fault := _config_fault(folder):
        yield fault
        return
    yield from _weight_faults(folder)
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZER_FILES):
        yield _missing(folder, "tokenizer.json", "The model cannot turn text into tokens without it.")


def _config_fault(folder: Path) -> FolderFault | None:
    path = folder / "config.json"
    if path.is_file():
        try:
            _read_object(path)
        except (OSError, ValueError) as error:
            return _broken(path, f"is not a JSON object: {error}")
        return None
    if (folder / "adapter_config.json").is_file():
        return FolderFault(
            "config.json",
            f"{folder} holds an adapter, not a model.",
            "An adapter only changes a base model; training starts from the base model.",
            f"Set model.name_or_path to its base model{_base_of_adapter(folder)}.",
        )
    if ggufs := sorted(file.name for file in folder.glob("*.gguf")):
        return FolderFault(
            "config.json",
            f"{folder} holds no config.json, but GGUF files: {', '.join(ggufs[:3])}.",
            "A GGUF file is a model of its own; the folder around it is not.",
            f"Set model.name_or_path to the file: {folder / ggufs[0]}",
        )
    return _missing(folder, "config.json", "Without it nobody knows which architecture the weights belong to.")


def _weight_faults(folder: Path) -> Iterator[FolderFault]:
    index = folder / WEIGHT_INDEX
    if index.is_file():
        try:
            shards = sorted({_plain_name(name) for name in _read_object(index)["weight_map"].values()})
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            yield _broken(index, f"does not list the weight files: {error!r}")
            return
    else:
        shards = [name for name in ("model.safetensors",) if (folder / name).is_file()]
    if not shards:
        yield _no_safetensors(folder)
    for shard in shards:
        if not (folder / shard).is_file():
            yield _missing(folder, shard, f"{WEIGHT_INDEX} lists it among {len(shards)} weight files.")
        elif problem := safetensors_problem(folder / shard):
            yield _broken(folder / shard, problem)


def _no_safetensors(folder: Path) -> FolderFault:
    if pickles := sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern)):
        return FolderFault(
            "model.safetensors",
            f"{folder} holds its weights only as pickle: {', '.join(pickles[:3])}.",
            "Loading a pickle can run any code hidden in it, so finetui loads safetensors only.",
            "Use a revision with safetensors, or convert it where you trust the file: "
            "model.save_pretrained(FOLDER) in transformers writes safetensors.",
        )
    if others := sorted(file.name for file in folder.glob("*.safetensors")):
        return FolderFault(
            "model.safetensors",
            f"{folder} holds {', '.join(others[:3])}, but neither model.safetensors nor {WEIGHT_INDEX}.",
            "Weights in several files need the index that says which tensor is in which.",
            f"Put {WEIGHT_INDEX} (or model.safetensors) into the folder.",
        )
    return _missing(folder, "model.safetensors", f"Neither it nor {WEIGHT_INDEX} is there: no weights.")


def own_files(folder: Path) -> list[Path]:
    """The files that lie in a model folder, sorted; none to which a link leads out of it.

    Whoever hands out a folder could link a private file of its reader's into it, and an export would publish that.
    A snapshot of the hub's cache consists of links to the blobs beside it: those are its own.
    """
    homes = [folder.resolve()]
    if homes[0].parent.name == "snapshots":
        homes.append(homes[0].parent.parent / "blobs")
    return [path for path in sorted(folder.iterdir()) if path.is_file() and path.resolve().parent in homes]


def safetensors_problem(path: Path) -> str | None:
    """What is wrong with a safetensors file, judged by its header and its size; None when they agree."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            if (start + file.read(len(_LFS_POINTER) - 8)).startswith(_LFS_POINTER):
                return "is a Git LFS pointer; the weights themselves were not fetched (git lfs pull)"
            length = int.from_bytes(start, "little")
            if len(start) < 8 or length > size - 8:
                return f"is cut short or no safetensors file: {size} bytes cannot hold its header"
            if length > MAX_HEADER_BYTES:
                return f"claims a header of {length} bytes, which no list of tensors has"
            file.seek(8)
            header = json.loads(file.read(length))
        places = [entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"]
        if any(not 0 <= start <= end for start, end in places):
            return "is damaged: a tensor ends before it begins"
        ends = [end for _, end in places]
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        return f"has no readable header ({type(error).__name__})"
    wanted = 8 + length + max(ends, default=0)
    return None if size == wanted else f"is damaged: its header promises {wanted} bytes, the file has {size}"


def _plain_name(name: object) -> str:
    """The name of a weight file as an index gives it. Raises ValueError for one that leads out of its folder."""
    if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
        raise ValueError(f"{str(name)[:80]!r} is no name of a file in this folder")
    return name


def _read_object(path: Path) -> dict[str, Any]:
    """A file's JSON object. Raises OSError, and ValueError for what is none, too deep or too large."""
    with path.open("rb") as file:
        # Reading up to the limit would set aside that much, which a process with a memory cap does not have.
        if os.fstat(file.fileno()).st_size > MAX_JSON_BYTES:
            raise ValueError(f"it has more than {MAX_JSON_BYTES // 1024**2} MiB")
        text = file.read()
    try:
        content = json.loads(text.decode("utf-8"))
    except RecursionError as fault:
        raise ValueError("it is nested too deeply") from fault
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}")
    return content


def _base_of_adapter(folder: Path) -> str:
    try:
        base = _read_object(folder / "adapter_config.json").get("base_model_name_or_path")
    except (OSError, ValueError):
        return ""
    return f": {base}" if isinstance(base, str) and base else ""


def _missing(folder: Path, file: str, means: str) -> FolderFault:
    return FolderFault(
        file,
        f"{folder} is not a complete model: {file} is missing.",
        means,
        "A model folder holds config.json, *.safetensors and tokenizer.json. "
        f"Put {file} there, or name another folder in model.name_or_path.",
    )


def _broken(path: Path, problem: str) -> FolderFault:
    return FolderFault(
        path.name,
        f"{path} {problem}.",
        "The file cannot be used as it is.",
        "Copy or download it again.",
    )
