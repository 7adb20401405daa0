"""Written files of rows: a folder of shards that an interrupted command goes on with, or one single file.

    OUT/train-00000-of-00007.jsonl …     with a shard size; names that `file_choice` and `datasets` tell splits by
    OUT/train.jsonl, validation.jsonl    without
    OUT/.unfinished/                     while it is being written: complete shards, and what is known of each

A file is complete or not there: it gets its name when it is closed. Going on means giving the same rows again; those
of complete shards, which are checked by their SHA-256, are not written twice. Not here: what is in the rows
(`conversion`), and the account of the whole folder (`manifest`).
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from data.errors import DataError
from data.rows import Row
from data.writers import Columns, FileKind
from data.writing.open_file import NUM_BUFFERED_BYTES, OpenFile, WrittenFile, in_use, sha256_of, unwritable, writing

UNFINISHED = ".unfinished"
_IDENTITY, _PROGRESS, _REJECTED = "identity.json", "progress.jsonl", "rejected.jsonl"
MANIFEST = "manifest.json"
_NOTHING_KEPT = "Nothing of it is kept."


class Folder:
    """A folder of rows, in one or more splits (the words train, validation and test).

    `identity` is what the bytes depend on: an unfinished folder is gone on with only when its identity is the same.
    Use as a context: an error keeps the complete shards. Raises DataError for a folder that holds something else,
    and where it cannot be written.
    """

    rejected_name = _REJECTED

    def __init__(self, folder: Path, kind: FileKind, shard_rows: int | None, identity: Mapping[str, Any]) -> None:
        self.folder, self.kind, self.shard_rows = folder, kind, shard_rows
        self.changes: Counter[str] = Counter()
        self.num_kept_shards = 0
        self._identity = json.dumps(identity, ensure_ascii=False, sort_keys=True, indent=2) + "\n"
        self._work = folder / UNFINISHED
        self._done: dict[tuple[str, int], WrittenFile] = {}
        self._num_rows: Counter[str] = Counter()
        self._open: dict[str, OpenFile] = {}
        self._columns = Columns()

    def begin(self, force: bool = False) -> None:
        """Make the folder, or take up what an earlier command left unfinished. `force` starts anew."""
        with self._telling():
            self._check_free(force)
            self._work.mkdir(parents=True, exist_ok=True)
            self._lock: IO[bytes] = (self._work / "lock").open("wb")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise in_use(self.folder) from None
            try:
                self._take_up(force)
            except OSError:
                self.__exit__()
                raise

    def with_columns(self, columns: Columns) -> None:
        """What is known of the columns. Comes before the first row."""
        self._columns = columns
        self._prepare = self.kind.writer.preparer(columns, self.changes)

    def write(self, split: str, row: Row) -> None:
        """One row more of a split. Raises RowProblem for a row that this kind of file cannot hold."""
        prepared = self._prepare(row)
        number = self._num_rows[split]
        self._num_rows[split] = number + 1
        index, place = divmod(number, self.shard_rows) if self.shard_rows else (0, number)
        if (split, index) in self._done:
            return
        try:
            file = self._open.get(split)
            if file is None:
                assert place == 0
                file = self._open[split] = OpenFile(self._path(split, index), self.kind, self._columns)
            file.write(prepared)
            if file.num_rows == self.shard_rows:
                self._complete(split, index)
        except OSError as error:
            raise unwritable(self.folder, error, self.kept()) from error

    def rejected(self) -> IO[bytes]:
        """The file for rows that are not written, from its start."""
        with self._telling():
            return (self._work / _REJECTED).open("wb", buffering=NUM_BUFFERED_BYTES)

    def finish(self) -> list[WrittenFile]:
        """Close what is open and give every shard its name; their list, by name. `close` comes after the manifest."""
        with self._telling():
            for split in list(self._open):
                self._complete(split, (self._num_rows[split] - 1) // self.shard_rows if self.shard_rows else 0)
            for name in written_by_manifest(self.folder):
                (self.folder / name).unlink(missing_ok=True)
            (self.folder / MANIFEST).unlink(missing_ok=True)
            named = []
            for (split, index), file in sorted(self._done.items()):
                name = self._final_name(split, index)
                (self._work / file.name).replace(self.folder / name)
                named.append(WrittenFile(name, file.num_rows, file.num_bytes, file.sha256))
            rejected = self._work / _REJECTED
            if rejected.exists() and rejected.stat().st_size:
                shutil.copyfile(rejected, self.folder / _REJECTED)
            else:
                (self.folder / _REJECTED).unlink(missing_ok=True)
        return named

    def close(self) -> None:
        """The folder is whole: nothing is left to go on with."""
        shutil.rmtree(self._work, ignore_errors=True)

    def abandon(self) -> None:
        """Leave nothing of an output that will not be."""
        for file in self._open.values():
            file.abandon()
        self._open.clear()
        shutil.rmtree(self._work, ignore_errors=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.abandon()
        if not self._done and self._work.exists():
            # Nothing to go on with: what stayed here would only be in the way of the next command.
            self.abandon()
        if hasattr(self, "_lock"):
            self._lock.close()

    def _check_free(self, force: bool) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise _taken(self.folder, "is a file", "Name a folder.")
        if (self.folder / MANIFEST).exists():
            if not force:
                raise _taken(self.folder, "holds rows already", "Name another folder, or replace them with --force.")
        elif self.folder.exists() and not self._work.exists() and any(self.folder.iterdir()):
            raise _taken(self.folder, "holds files that no command of finetui data wrote", "Name a new folder.")

    def _take_up(self, force: bool) -> None:
        """Know the shards that an earlier, equal command completed; raises DataError where it was another."""
        identity = self._work / _IDENTITY
        before = identity.read_text(encoding="utf-8") if identity.exists() else None
        if before is not None and before != self._identity:
            if not force:
                raise _other(self.folder, _difference(before, self._identity))
            for path in self._work.iterdir():
                path.unlink()
            before = None
        if before is None:
            temporary = self._work / f"{_IDENTITY}.part"  # half of it would be another identity
            temporary.write_text(self._identity, encoding="utf-8")
            temporary.replace(identity)
        progress = self._work / _PROGRESS
        lines = progress.read_bytes().splitlines() if progress.exists() else []
        for line in lines:
            try:
                told = json.loads(line)
                split, index = str(told["split"]), int(told["shard"])
                name = self._path(split, index).name
                file = WrittenFile(name, int(told["rows"]), int(told["bytes"]), str(told["sha256"]))
            except (ValueError, KeyError, TypeError):
                continue  # cut off by the end of the process that wrote it
            self._find_again(split, index, file)
        self.num_kept_shards = len(self._done)

    def _find_again(self, split: str, index: int, file: WrittenFile) -> None:
        path = self._work / file.name
        if not path.exists():
            # The end came while the shards got their names.
            pattern = f"{split}-{index:05d}-of-*{self.kind.suffix}" if self.shard_rows else f"{split}{self.kind.suffix}"
            for named in self.folder.glob(pattern):
                named.replace(path)
        if path.exists() and sha256_of(path) == file.sha256:
            self._done[split, index] = file

    def _complete(self, split: str, index: int) -> None:
        file = self._open.pop(split).complete()
        self._done[split, index] = file
        told = {"split": split, "shard": index, **file.to_json()}
        with (self._work / _PROGRESS).open("ab") as progress:
            progress.write(b"\n" + json.dumps(told).encode() + b"\n")

    def _path(self, split: str, index: int) -> Path:
        return self._work / f"{split}-{index:05d}{self.kind.suffix}"

    def _final_name(self, split: str, index: int) -> str:
        if self.shard_rows is None:
            return f"{split}{self.kind.suffix}"
        num_shards = sum(one == split for one, _ in self._done)
        return f"{split}-{index:05d}-of-{num_shards:05d}{self.kind.suffix}"

    def _telling(self) -> AbstractContextManager[None]:
        return writing(self.folder, self.kept)

    def kept(self) -> str:
        if not self._done:
            return "No shard is complete, so nothing of it is kept."
        return f"Kept in {self._work}: {len(self._done)} complete shard(s); the same command goes on after them."


class SingleFile:
    """One file of rows. It takes its name when it is whole; until then there is nothing. The interface is Folder's."""

    num_kept_shards = 0

    def __init__(self, path: Path, kind: FileKind) -> None:
        self.path, self.kind = path, kind
        self.folder = path.parent
        self.changes: Counter[str] = Counter()
        self._file: OpenFile | None = None
        self._rejected = path.with_name(f".{path.name}.rejected.part")
        self._has_rejected = self._force = False
        self.rejected_name = f"{path.name}.rejected.jsonl"

    def begin(self, force: bool = False) -> None:
        """Check the place."""
        self._force = force
        self._check_free()

    def with_columns(self, columns: Columns) -> None:
        """Opens the file."""
        with self._telling():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._prepare = self.kind.writer.preparer(columns, self.changes)
            self._file = OpenFile(self.path, self.kind, columns)
        # Another command may have written it while the columns were looked at; now it cannot any more.
        self._check_free()

    def write(self, _split: str, row: Row) -> None:
        """One row more."""
        assert self._file is not None
        prepared = self._prepare(row)
        try:
            self._file.write(prepared)
        except OSError as error:
            raise unwritable(self.path, error, _NOTHING_KEPT) from error

    def rejected(self) -> IO[bytes]:
        """The file for rows that are not written: NAME.rejected.jsonl, beside the rows."""
        with self._telling():
            self._has_rejected = True
            return self._rejected.open("wb", buffering=NUM_BUFFERED_BYTES)

    def finish(self) -> list[WrittenFile]:
        """Name it."""
        assert self._file is not None
        with self._telling():
            written = self._file.complete()
            self._file = None
            listed = self.path.with_name(self.rejected_name)
            if self._has_rejected and self._rejected.stat().st_size:
                self._rejected.replace(listed)
            else:
                listed.unlink(missing_ok=True)
        return [written]

    def close(self) -> None:
        """Nothing is left to do."""

    def abandon(self) -> None:
        """Leave nothing."""
        if self._file is not None:
            self._file.abandon()
            self._file = None
        if self._has_rejected:
            self._rejected.unlink(missing_ok=True)

    def _check_free(self) -> None:
        if self.path.is_dir():
            raise _taken(self.path, "is a folder", "Name a file in it.")
        if self.path.exists() and not self._force:
            raise _taken(self.path, "is there already", "Name another file, or replace it with --force.")
        listed = self.path.with_name(self.rejected_name)
        if listed.exists() and not self._force:
            raise _taken(listed, "is there already", "Name another file, or replace both with --force.")

    def __enter__(self) -> SingleFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def _telling(self) -> AbstractContextManager[None]:
        return writing(self.path, lambda: _NOTHING_KEPT)


Output = Folder | SingleFile


def written_by_manifest(folder: Path) -> list[str]:
    """The files that the folder's manifest names; none where there is no manifest, or it is not readable."""
    try:
        told = json.loads((folder / MANIFEST).read_bytes())
        names = [str(file["name"]) for file in told["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [name for name in names if Path(name).name == name]


def _difference(before: str, now: str) -> str:
    """Which entries of two identities differ, for people."""
    old, new = (dict(_flat(json.loads(text))) for text in (before, now))
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return "; ".join(f"{name}: {old.get(name)}, now {new.get(name)}" for name in names[:4])


def _flat(value: Any, name: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _flat(one, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _flat(one, f"{name}[{number}]")
    else:
        yield name, value


def _taken(path: Path, what: str, remedy: str) -> DataError:
    return DataError(f"{path} {what}.", means="Nothing was written.", remedy=remedy)


def _other(folder: Path, difference: str) -> DataError:
    return DataError(
        f"{folder} holds the beginning of an output made with other options or from other rows.",
        means=f"Going on would mix the two. What differs: {difference}.",
        remedy="Give the same options to go on, name another folder, or start anew with --force.",
    )
