"""Keeps a dataset of the catalog in a folder: plain files, their hashes, and a page on where they are from.

    SHA256SUMS     one line a file, as `sha256sum -c` reads it
    SOURCE.md      id, commit, licence, files, and what is known of the dataset

What is in the folder already stays: a file that holds the same is not written again, so a copy that was broken off
goes on. Downloading itself, and going on with a broken one, is the hub's library's (`data.hub`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.catalog import Entry
from data.errors import DataError
from data.file_choice import ALL_SPLITS, HUB_SUFFIXES, choose, holds_rows
from data.file_modes import fresh, placed
from data.reading import hub
from data.sources import SourceFile

SUMS, SOURCE = "SHA256SUMS", "SOURCE.md"
CARD = "README.md"

Told = Callable[[str, bool], object]
"""Called with a file's name and whether it was there already, after each file."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What is in the folder now. `revision` is the commit that the files are of; `num_kept` were there before."""

    entry: Entry
    folder: Path
    revision: str
    files: tuple[SourceFile, ...]
    num_kept: int

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {
            "id": self.entry.id,
            "licence": self.entry.licence,
            "folder": str(self.folder),
            "revision": self.revision,
            "files": [asdict(file) for file in self.files],
            "files_kept": self.num_kept,
            "data": {"dataset": str(self.folder), **self.entry.recipe_fields()},
        }


def save(
    entry: Entry,
    folder: Path,
    *,
    revision: str | None = None,
    offline: bool = False,
    cache_dir: str | None = None,
    force: bool = False,
    told: Told = lambda _name, _is_kept: None,
) -> Saved:
    """Download what is missing of the entry's subset, every split, and copy it to `folder`, made where it is missing.

    Raises DataError where the hub or the cache cannot give it, where `folder` holds another file of a wanted name
    (unless `force`), or where the disk refuses.
    """
    try:
        snapshot = hub.snapshot_of(
            entry.id, subset=entry.subset, revision=revision, offline=offline, cache_dir=cache_dir
        )
    except hub.OutOfReachError as error:
        again = "the same command again" + (", not offline" if offline else "")
        page = f"(page: {hub.page(entry.id)}; a gated or private dataset needs: hf auth login)"
        error.remedy = f"Once with a network, {again}. What arrived is kept.\n{page}"
        raise
    names = [name for name in _files_below(snapshot) if holds_rows(name, HUB_SUFFIXES)]
    if not names:
        raise DataError(
            f"The dataset {entry.id} holds no file that is read ({', '.join(HUB_SUFFIXES)}).",
            means="Its owner has changed it since the catalog was written.",
            remedy=f"Look at {hub.page(entry.id)}/tree/main and name its files as data.dataset.",
        )
    chosen = choose(names, f"The dataset {entry.id}", entry.subset, ALL_SPLITS)
    beside = [CARD] if (snapshot / CARD).is_file() else []
    files, num_kept = [], 0
    try:
        for name in [*beside, *chosen]:
            file, is_kept = _copied(snapshot / name, folder, name, force=force)
            files.append(file)
            num_kept += is_kept
            told(name, is_kept)
        saved = Saved(entry, folder, snapshot.name, tuple(files), num_kept)
        _write_whole(folder / SUMS, "".join(f"{file.sha256}  {file.name}\n" for file in files))
        _write_whole(folder / SOURCE, source_page(saved))
    except OSError as error:
        raise DataError(
            f"{folder} cannot take the files of {entry.id}: {error.strerror or error}.",
            means="What is there already is whole and stays.",
            remedy="Make room or name another folder, then give the same command again: it goes on.",
        ) from error
    return saved


def recipe_lines(entry: Entry, dataset: str) -> list[str]:
    """The lines of a recipe that load the entry's rows from `dataset`, its id or the folder it was saved to."""
    return ["[data]", f"dataset = {_toml(dataset)}", *(f"{k} = {_toml(v)}" for k, v in entry.recipe_fields().items())]


def source_page(saved: Saved) -> str:
    """SOURCE.md. The same files give the same bytes: it holds no clock and no path of this machine."""
    entry = saved.entry
    files = "\n".join(f"| {file.name} | {file.num_bytes:,} | `{file.sha256}` |" for file in saved.files)
    return (
        "\n\n".join(
            [
                f"# {entry.title}",
                f"- dataset: {hub.page(entry.id)}",
                f"- revision (commit): `{saved.revision}`",
                f"- subset: {entry.subset or '(none)'}",
                f"- licence: {entry.licence}",
                f"- language: {entry.language}",
                f"Good for: {entry.good_for}",
                f"What gets worse: {entry.gets_worse}",
                f"Facts: {entry.facts_checked}. The licence that counts is the one on the dataset's page.",
                "```toml\n" + "\n".join(recipe_lines(entry, "this/folder")) + "\n```",
                f"| file | bytes | SHA-256 |\n|---|---:|---|\n{files}",
            ]
        )
        + "\n"
    )


def _files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _copied(source: Path, folder: Path, name: str, *, force: bool) -> tuple[SourceFile, bool]:
    """(the file with its hash, whether it was there already)."""
    target = folder / name
    wanted = _hashed(source, name)
    if target.is_file() and target.stat().st_size == wanted.num_bytes and _hashed(target, name) == wanted:
        return wanted, True
    if target.exists() and not force:
        raise DataError(
            f"{target} is there and holds something else.",
            means="It was changed, or is from another revision; nothing is overwritten unasked.",
            remedy="Name another folder, or give --force to replace it.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(source, fresh(part))
        placed(part, target)
    finally:
        part.unlink(missing_ok=True)
    return wanted, False


def _hashed(path: Path, name: str) -> SourceFile:
    with path.open("rb") as file:
        return SourceFile(name, hashlib.file_digest(file, "sha256").hexdigest(), file.tell())


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    with fresh(part).open("x", encoding="utf-8") as file:
        file.write(text)
    placed(part, path)


def _toml(value: Any) -> str:
    """A text or a table of texts on one line; JSON's texts are TOML's."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_toml(each)}" for name, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    is_bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if is_bare else json.dumps(name, ensure_ascii=False)
