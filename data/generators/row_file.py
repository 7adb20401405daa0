"""Made rows -> a file, complete or not at all. How files of each kind are written lives in `data/writers`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from data.errors import DataError
from data.rows import RowProblem
from data.writers import Columns, FileKind, kind_of_name
from data.writing.open_file import OpenFile, WrittenFile, writing

USUAL = ".jsonl, .csv, .jsonl.gz"


def kind_of(path: Path, force: bool) -> FileKind:
    """How the file is to be written. Raises DataError where nobody knows, or it is there and may not be replaced."""
    kind = kind_of_name(path.name)
    if kind is None or kind.writer.HOLDS == "values":
        raise DataError(
            f"Rows cannot be made into {path.name}.",
            means="The ending of its name says how rows are written.",
            remedy=f"Give one of {USUAL}; finetui data convert makes the other kinds.",
        )
    if path.exists() and not force:
        raise DataError(
            f"{path} exists already.",
            means="Nothing was made, and the file is as it was.",
            remedy="Give another name, or --force to replace it.",
        )
    return kind


def write_rows(
    rows: Iterator[dict[str, Any]], path: Path, kind: FileKind, check: Callable[[], None] = lambda: None
) -> WrittenFile:
    """Write them one at a time; the file gets its name when all are there and `check` has raised nothing.

    Raises DataError for rows that such a file cannot hold, and where the disk is full; then there is no file.
    """
    first = next(rows, None)
    names = tuple(first) if first is not None else ()
    if kind.writer.HOLDS == "text" and first is not None and any(isinstance(v, list | dict) for v in first.values()):
        raise DataError(
            f"A {kind.ending} file cannot hold these rows.",
            means="Their columns hold lists, and its cells hold text.",
            remedy="Give a name that ends in .jsonl or .jsonl.gz.",
        )
    columns = Columns(names if kind.writer.HOLDS == "text" else ())
    prepare = kind.writer.preparer(columns, Counter())
    with writing(path, lambda: "There is no part of it."):
        file = OpenFile(path, kind, columns)
        try:
            for row in chain([] if first is None else [first], rows):
                file.write(prepare(row))
            check()
        except RowProblem as problem:
            file.abandon()
            raise DataError(
                f"Row {file.num_rows + 1} cannot be written: {problem.reason}.",
                means="There is no part of the file.",
                remedy="Choose another kind of file.",
            ) from problem
        except BaseException:
            file.abandon()
            raise
        return file.complete()
