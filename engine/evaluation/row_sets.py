"""Which rows are asked: a run's own test split, or other rows kept with the run in `evaluations/NAME/`.

Other rows are read once, by whoever names them, as preparation reads them, and kept as examples: what is scored later
is what was shown then. Not here: what is asked of a model (`prompts`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from data.conversation import Conversation, Example, example_from_json
from data.loading import ReadRow, Rows, nothing_left
from data.many_rows.stored_rows import RowWriter
from engine.errors import RunDirError
from engine.evaluation.prompts import is_scorable
from engine.evaluation.request import OWN_ROWS
from engine.run_dir import RunDir, read_json, write_atomic

SOURCE = "source.json"


@dataclass(frozen=True, slots=True)
class RowSet:
    """Rows to be answered, in order; `folder` holds the answers. `columns` are those of each row's source if known.

    `num_left_out` rows ask nothing, `num_refused` the model's chat template does not take. `unseen` are the lines of
    rows whose answers never occur in training.
    """

    name: str
    folder: Path
    rows: Sequence[Conversation]
    columns: Sequence[Mapping[str, Any]]
    num_read: int
    num_left_out: int
    unseen: frozenset[int]
    num_refused: int = 0


def row_set(run: RunDir, name: str, max_rows: int | None) -> RowSet:
    """The rows of that name, at most `max_rows` of them. Raises RunDirError where there are none."""
    if name == OWN_ROWS:
        unseen = frozenset(read_json(run.prepared)["test"]["unseen"])
        path, folder = run.dataset / "test.jsonl", run.answers
    else:
        unseen = frozenset[int]()
        path, folder = run.evaluations / name / "rows.jsonl", run.evaluations / name / "answers"
    if not path.exists():
        raise RunDirError(
            f"Run {run.name} holds no rows named {name!r}.",
            means=f"{path} is not there.",
            remedy=f"Name the rows: finetui eval {run.typed} --data ROWS",
        )
    rows: list[Conversation] = []
    columns: list[Mapping[str, Any]] = []
    num_read = num_scorable = 0
    for example, values in _stored(path):
        num_read += 1
        if is_scorable(example):
            num_scorable += 1
            if max_rows is None or len(rows) < max_rows:
                rows.append(example)
                columns.append(values)
    return RowSet(name, folder, rows, columns, num_read, num_read - num_scorable, unseen)


def _stored(path: Path) -> Iterator[tuple[Example, Mapping[str, Any]]]:
    # In bytes, whose lines end at line breaks only: a row's text may hold U+2028 or U+0085.
    with path.open("rb") as file:
        for line in file:
            value = json.loads(line)
            yield example_from_json(value), value.get("columns", {})


def keep_rows(run: RunDir, rows: Rows, source: Mapping[str, Any], name: str, max_rows: int | None = None) -> str:
    """Read rows and keep those that can be used in the run's folder; the name that they have there.

    `source` are the words that named them: other rows of the same name get a number behind it. Raises DataError where
    no row can be used, RunDirError when the disk refuses them.
    """
    name = free_name(run, name, source)
    folder = run.evaluations / name
    (folder / "answers").mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = folder / "rows.part"
    fresh.unlink(missing_ok=True)
    rejected: list[ReadRow] = []
    try:
        with RowWriter(fresh) as writer:
            for row in _usable(rows, rejected, max_rows):
                assert row.example is not None
                writer.write({**row.example.to_json(), "columns": _plain(row.values)})
        if not writer.num_rows:
            fresh.unlink()
            raise nothing_left(rows.dataset, (row.rejection for row in rejected if row.rejection is not None))
        fresh.replace(folder / "rows.jsonl")
    except OSError as fault:
        raise RunDirError(
            f"{folder} cannot be written: {fault.strerror}.",
            means="The rows are kept with the run, so that the same ones are scored again.",
            remedy="Free space on that disk, or make the folder writable, and try again.",
        ) from fault
    kept = {**source, "rows": writer.num_rows, "rejected": len(rejected)}
    write_atomic(folder / SOURCE, json.dumps(kept, indent=1))
    return name


def _usable(rows: Rows, rejected: list[ReadRow], max_rows: int | None) -> Iterator[ReadRow]:
    def usable() -> Iterator[ReadRow]:
        for row in rows:
            if row.example is None:
                rejected.append(row)
            else:
                yield row

    return islice(usable(), max_rows)


def _plain(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """What of a row JSON can hold: metrics may look at its other columns."""
    kept: dict[str, Any] = {}
    for column, value in (values or {}).items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            continue
        kept[column] = value
    return kept


def free_name(run: RunDir, wanted: str, source: Mapping[str, Any]) -> str:
    """A name for a folder, like the one wanted, that no rows of another source have."""
    stem = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:40] or "rows"
    number = 1
    while True:
        name = stem if number == 1 and stem != OWN_ROWS else f"{stem}-{number}"
        path = run.evaluations / name / SOURCE
        if not path.exists():
            return name
        before = read_json(path)
        if all(before.get(word) == value for word, value in json.loads(json.dumps(dict(source))).items()):
            return name
        number += 1
