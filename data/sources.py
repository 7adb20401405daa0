"""A dataset string -> the files it stands for -> their rows, lazily.

    rows.jsonl  rows.csv.gz  …    one local file; the kinds are those of `readers`, compressed or not
    some/folder  rows.zip         every such file in it, of one subset and split where the names say so
    -                             standard input; its kind is told by its content
    hub:owner/name  owner/name    a dataset of the Hugging Face Hub (the short form when no such path exists here)
    generator:venvy               rows made by a bundled generator

What the rows mean is decided in `detection` and `formats`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import DataError
from data.file_choice import (
    HUB_ENDINGS,
    choose,
    holds_rows,
    is_archive_name,
    row_names,
    row_suffix,
    splits_beside,
    unpacked_name,
)
from data.generators import generator_named
from data.nearest import listed, nearest
from data.readers import blobs_in, members_in, no_rows_inside, read_blob, readers, unreadable
from data.reading import hub, saved_datasets
from data.reading.blobs import STDIN, Blob, file_blob, stdin_blob
from data.rows import SourceRow

__all__ = ["Part", "SourceFile", "SourceRow", "SourceSettings", "open_source", "reading_notes"]

_HUB_PREFIX, _GENERATOR_PREFIX = "hub:", "generator:"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What beside the dataset string decides which rows it stands for.

    Without `split`, the first of `usual_splits` is taken whose name occurs among the files. With `stream`, a hub
    dataset that is not in the cache is read over the network as its rows are wanted, and not kept.
    """

    subset: str | None = None
    split: str | None = None
    usual_splits: tuple[str, ...] = ("train",)
    revision: str | None = None
    generator_rows: int | None = None
    seed: int = 42
    offline: bool = False
    cache_dir: str | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that rows came from, for the run's manifest."""

    name: str
    sha256: str
    num_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One file of a source (`blob`), or the whole output of a generator (`make`): a name, and its rows.

    `beside` names the splits that its source holds too and that nobody asked for or against.
    """

    name: str
    blob: Blob | None = None
    make: Callable[[], Iterator[Mapping[str, Any]]] | None = None
    beside: tuple[str, ...] = ()

    @property
    def path(self) -> Path | None:
        """The plain file, where it is one."""
        return self.blob.path if self.blob is not None else None

    def rows(self) -> Iterator[SourceRow]:
        """The rows, lazily, in order; read or made anew each time. Raises DataError."""
        if self.blob is not None:
            yield from read_blob(self.blob)
        elif self.make is not None:
            for line, row in enumerate(self.make(), start=1):
                yield SourceRow(line, dict(row), None)

    def notes(self) -> tuple[str, ...]:
        """How the file was read, where its content had to say so: encoding, delimiter, kind. Known once it was read."""
        return self.blob.notes if self.blob is not None else ()

    def source_file(self) -> SourceFile:
        """Name, SHA-256 and size, as the file lies in its source; for a generator those of its rows as JSON Lines."""
        if self.blob is not None:
            try:
                return SourceFile(self.name, *self.blob.digest())
            except OSError as error:
                raise unreadable(self.blob, error) from error
        digest, size = hashlib.sha256(), 0
        for row in self.make() if self.make is not None else ():
            line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
            digest.update(line)
            size += len(line)
        return SourceFile(self.name, digest.hexdigest(), size)


def reading_notes(parts: Iterable[Part]) -> tuple[str, ...]:
    """How the parts were read where that had to be guessed, "rows.csv: separated by ;"; each once. Known once read."""
    named: dict[str, list[str]] = {}
    for part in parts:
        for note in part.notes():
            named.setdefault(note, []).append(part.name)
    return tuple(
        f"{names[0]}{f' and {len(names) - 1:,} more files' if names[1:] else ''}: {note}"
        for note, names in named.items()
    )


def open_source(dataset: str, settings: SourceSettings) -> list[Part]:
    """The parts a dataset string stands for, at least one. Raises DataError when there is none."""
    if dataset.startswith(_GENERATOR_PREFIX):
        _refuse(settings, "a generator", "subset", "split", "revision")
        return [_generated(dataset.removeprefix(_GENERATOR_PREFIX), settings)]
    if dataset.startswith(_HUB_PREFIX):
        return _from_hub(dataset.removeprefix(_HUB_PREFIX), settings)
    if dataset == STDIN:
        _refuse(settings, "standard input", "subset", "split", "revision", "generator_rows")
        return [_part(blob) for blob in blobs_in(stdin_blob())]
    path = Path(os.path.expanduser(dataset))  # noqa: PTH111 - leaves an unknown ~name
    if os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir, False for names that cannot be
        _refuse(settings, "a local folder", "revision", "generator_rows")
        return _from_folder(path, dataset, settings)
    if os.path.exists(path):  # noqa: PTH110 - as above
        _refuse_endless(path, dataset)
        return _from_file(path, dataset, settings)
    if _may_be_on_hub(dataset, path):
        return _from_hub(dataset, settings)
    raise _missing(dataset, path)


def _refuse(settings: SourceSettings, kind: str, *keys: str) -> None:
    """Raises DataError for a setting that means nothing for this kind of source, rather than drop it in silence."""
    for key in keys:
        if getattr(settings, key) is not None:
            raise DataError(
                f"data.{key} is set, and data.dataset is {kind}.",
                means=f"It means nothing for {kind} and would have no effect.",
                remedy=f"Leave data.{key} out, or name another dataset.",
            )


def _refuse_endless(path: Path, dataset: str) -> None:
    """Raises DataError for a pipe, a device or a file of the kernel: to open one may wait for ever, or never end."""
    real = os.path.realpath(path)
    if not os.path.isfile(real) or real.startswith(("/proc/", "/sys/")):  # noqa: PTH113 - as above
        raise DataError(
            f"{dataset} is no ordinary file.",
            means="Rows are read more than once, and from their beginning, which a pipe or a device does not offer.",
            remedy="Write the rows to a file, or pipe them in and name the dataset '-'.",
        )


def _part(blob: Blob) -> Part:
    return Part(blob.name, blob)


def _generated(name: str, settings: SourceSettings) -> Part:
    generator = generator_named(name)
    num_rows = generator.DEFAULT_ROWS if settings.generator_rows is None else settings.generator_rows
    return Part(f"{_GENERATOR_PREFIX}{name}", make=lambda: generator.rows(num_rows, settings.seed))


def _from_hub(repo: str, settings: SourceSettings) -> list[Part]:
    _refuse(settings, "a hub dataset", "generator_rows")
    blobs = hub.files_of(
        repo,
        subset=settings.subset,
        revision=settings.revision,
        offline=settings.offline,
        cache_dir=settings.cache_dir,
        stream=settings.stream,
    )
    names = [name for name in blobs if holds_rows(name, readers()) and name.lower().endswith(HUB_ENDINGS)]
    if not names:
        raise DataError(
            f"The dataset {repo} holds no file that is read ({', '.join(HUB_ENDINGS)})"
            + (f" of the subset {settings.subset!r}." if settings.subset else "."),
            means="Its rows are in another kind of file or made by a script, or data.subset names none of its folders.",
            remedy=f"Look at {hub.page(repo)}/tree/main, convert the files, and name them as data.dataset.",
        )
    chosen = choose(names, f"The dataset {repo}", settings.subset, settings.split, settings.usual_splits)
    return [Part(blobs[name].name, blobs[name], beside=_left_aside(names, chosen, settings)) for name in chosen]


def _from_file(path: Path, dataset: str, settings: SourceSettings) -> list[Part]:
    """The file, or what is in it where it is an archive: that is chosen from as from a folder."""
    blob = file_blob(path, dataset)
    members = members_in(blob)
    if members is None:
        _refuse(settings, "a single file", "subset", "split", "revision", "generator_rows")
        return [_part(blob)]
    _refuse(settings, "an archive", "revision", "generator_rows")
    inside = [(member.name.removeprefix(f"{dataset}/"), member) for member in members]
    return _chosen(inside, f"The archive {dataset}", settings)


def _from_folder(folder: Path, dataset: str, settings: SourceSettings) -> list[Part]:
    shown = dataset.rstrip("/") or dataset
    names = saved_datasets.without_leftovers(folder, _files_below(folder))
    files = [(name, file_blob(folder / name, f"{shown}/{name}")) for name in names]
    for name, blob in files:
        if (target := _outside(folder, name)) is not None:
            blob.say(f"it is a link out of the folder, to {target}")
    return _chosen(files, f"The folder {dataset}", settings)


def _outside(folder: Path, name: str) -> str | None:
    """Where a link leads that leaves the folder: whoever hands out rows may link a private file of their reader's."""
    home, real = os.path.realpath(folder), os.path.realpath(folder / name)
    is_blob = Path(home).parent.name == "snapshots" and Path(real).parent.name == "blobs"
    return None if is_blob or real.startswith(home + os.sep) else real


def _chosen(files: list[tuple[str, Blob]], where: str, settings: SourceSettings) -> list[Part]:
    """The files that hold rows, of one subset and split; an archive among them stands for what is in it."""
    kept = set(row_names((name for name, _ in files), readers()))
    if not kept:
        raise no_rows_inside(where, sorted(name for name, _ in files))
    by_label: dict[str, list[Blob]] = {}
    for name, blob in files:
        if name not in kept:
            if unpacked_name(name) in kept and row_suffix(name) in readers():
                dict(files)[unpacked_name(name)].say(f"{name} is taken for the same rows, and is not read")
            continue
        for one in blobs_in(blob) if is_archive_name(name) else [blob]:
            inside = one.name.removeprefix(f"{blob.name}/") if one is not blob else Path(name).name
            by_label.setdefault(str(Path(name).parent / inside), []).append(one)
    chosen = choose(by_label, where, settings.subset, settings.split, settings.usual_splits)
    beside = _left_aside(by_label, chosen, settings)
    return [Part(blob.name, blob, beside=beside) for label in chosen for blob in by_label[label]]


def _left_aside(names: Iterable[str], chosen: list[str], settings: SourceSettings) -> tuple[str, ...]:
    """The splits that are not read though no setting says so."""
    return splits_beside(names, chosen) if settings.split is None else ()


def _files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _may_be_on_hub(dataset: str, path: Path) -> bool:
    """owner/name where there is no folder `owner` here, and not a file name that we would read."""
    return (
        _HUB_NAME.fullmatch(dataset) is not None
        and row_suffix(path.name) not in readers()
        and not is_archive_name(path.name)
        and not os.path.isdir(path.parent)  # noqa: PTH112 - as above
    )


def _missing(dataset: str, path: Path) -> DataError:
    folder = path.parent
    if os.path.islink(path):  # noqa: PTH114 - as above
        means = f"There is a link of that name, and what it points to is not there: {os.readlink(path)}."  # noqa: PTH115
    elif not os.path.isdir(folder):  # noqa: PTH112 - as above
        means = f"The folder {folder} does not exist either."
    else:
        is_hidden = path.name.startswith(".")  # else such a file is not meant: a download or a result cut off
        names = sorted(entry.name for entry in folder.iterdir() if is_hidden or not entry.name.startswith("."))
        near = nearest(path.name, names)
        shown = f"close to it: {listed(near)}" if near else f"it holds {listed(names, 6)}" if names else "it is empty"
        means = f"In the folder {folder}, {shown}."
    on_hub = (
        f' For a dataset of the Hugging Face Hub, write "{_HUB_PREFIX}{dataset}".'
        if _HUB_NAME.fullmatch(dataset)
        else ""
    )
    return DataError(
        f"There is no file or folder {dataset}.",
        means=means,
        remedy=f"Correct data.dataset (paths count from the folder that finetui was started in).{on_hub}",
    )
