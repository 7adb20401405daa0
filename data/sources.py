"""A dataset string -> the files it stands for -> their rows, lazily.

    rows.jsonl  rows.csv  …       one local file; the kinds are those of `readers`
    some/folder                   every such file in it, of one subset and split where the names say so
    hub:owner/name  owner/name    a dataset of the Hugging Face Hub (the short form when no such path exists here)
    generator:venvy               rows made by a bundled generator

What the rows mean is decided in `detection` and `formats`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data import hub
from data.errors import DataError
from data.file_choice import HUB_SUFFIXES, choose, holds_rows
from data.generators import generator_named
from data.nearest import listed, nearest
from data.readers import read_file, readers
from data.rows import SourceRow

__all__ = ["Part", "SourceFile", "SourceRow", "SourceSettings", "open_source"]

_HUB_PREFIX, _GENERATOR_PREFIX = "hub:", "generator:"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What beside the dataset string decides which rows it stands for.

    Without `split`, the first of `usual_splits` is taken whose name occurs among the files.
    """

    subset: str | None = None
    split: str | None = None
    usual_splits: tuple[str, ...] = ("train",)
    revision: str | None = None
    generator_rows: int | None = None
    seed: int = 42
    offline: bool = False
    cache_dir: str | None = None


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that rows came from, for the run's manifest."""

    name: str
    sha256: str
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a source, or the whole output of a generator: a name, and its rows."""

    name: str
    path: Path | None
    generated: tuple[bytes, ...] = ()

    def rows(self) -> Iterator[SourceRow]:
        """The rows, lazily, in order."""
        if self.path is not None:
            yield from read_file(self.path)
        for line, row in enumerate(self.generated, start=1):
            yield SourceRow(line, json.loads(row), None)

    def source_file(self) -> SourceFile:
        """Name, SHA-256 and size; for a generator those of its rows as JSON Lines."""
        import hashlib

        if self.path is None:
            content = b"".join(self.generated)
            return SourceFile(self.name, hashlib.sha256(content).hexdigest(), len(content))
        with self.path.open("rb") as file:
            return SourceFile(self.name, hashlib.file_digest(file, "sha256").hexdigest(), file.tell())


def open_source(dataset: str, settings: SourceSettings) -> list[Part]:
    """The parts a dataset string stands for, at least one. Raises DataError when there is none."""
    if dataset.startswith(_GENERATOR_PREFIX):
        _refuse(settings, "a generator", "subset", "split", "revision")
        return [_generated(dataset.removeprefix(_GENERATOR_PREFIX), settings)]
    if dataset.startswith(_HUB_PREFIX):
        return _from_hub(dataset.removeprefix(_HUB_PREFIX), settings)
    path = Path(os.path.expanduser(dataset))  # noqa: PTH111 - leaves an unknown ~name
    if os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir, False for names that cannot be
        _refuse(settings, "a local folder", "revision", "generator_rows")
        return _from_folder(path, dataset, settings)
    if os.path.exists(path):  # noqa: PTH110 - as above
        _refuse(settings, "a single file", "subset", "split", "revision", "generator_rows")
        return [Part(dataset, path)]
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


def _generated(name: str, settings: SourceSettings) -> Part:
    generator = generator_named(name)
    num_rows = generator.DEFAULT_ROWS if settings.generator_rows is None else settings.generator_rows
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in generator.rows(num_rows, settings.seed))
    return Part(f"{_GENERATOR_PREFIX}{name}", None, tuple(line.encode() for line in lines))


def _from_hub(repo: str, settings: SourceSettings) -> list[Part]:
    _refuse(settings, "a hub dataset", "generator_rows")
    folder = hub.snapshot_of(
        repo,
        subset=settings.subset,
        revision=settings.revision,
        offline=settings.offline,
        cache_dir=settings.cache_dir,
    )
    names = [name for name in _files_below(folder) if holds_rows(name, HUB_SUFFIXES)]
    if not names:
        raise DataError(
            f"The dataset {repo} holds no file that is read ({', '.join(HUB_SUFFIXES)})"
            + (f" of the subset {settings.subset!r}." if settings.subset else "."),
            means="Its rows are in another kind of file or made by a script, or data.subset names none of its folders.",
            remedy=f"Look at {hub.page(repo)}/tree/main, convert the files, and name them as data.dataset.",
        )
    chosen = choose(names, f"The dataset {repo}", settings.subset, settings.split, settings.usual_splits)
    return [Part(f"{repo}/{name}", folder / name) for name in chosen]


def _from_folder(folder: Path, dataset: str, settings: SourceSettings) -> list[Part]:
    every = _files_below(folder)
    structured = [suffix for suffix in readers() if suffix != ".txt"]
    # Beside files of rows, a .txt is a note or a licence.
    names = [name for name in every if holds_rows(name, structured)] or [
        name for name in every if holds_rows(name, [".txt"])
    ]
    if not names:
        raise DataError(
            f"The folder {dataset} holds no file that is read ({', '.join(sorted(readers()))}).",
            means=f"It holds {listed(every, 6)}." if every else "It is empty.",
            remedy="Unpack or convert the files, or name another folder as data.dataset.",
        )
    chosen = choose(names, f"The folder {dataset}", settings.subset, settings.split, settings.usual_splits)
    return [Part(f"{dataset.rstrip('/')}/{name}", folder / name) for name in chosen]


def _files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _may_be_on_hub(dataset: str, path: Path) -> bool:
    """owner/name where there is no folder `owner` here, and not a file name that we would read."""
    return (
        _HUB_NAME.fullmatch(dataset) is not None
        and path.suffix.lower() not in readers()
        and not os.path.isdir(path.parent)  # noqa: PTH112 - as above
    )


def _missing(dataset: str, path: Path) -> DataError:
    folder = path.parent
    if not os.path.isdir(folder):  # noqa: PTH112 - as above
        means = f"The folder {folder} does not exist either."
    else:
        names = sorted(entry.name for entry in folder.iterdir())
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
