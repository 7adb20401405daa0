"""The tokenized splits on disk, and how an attempt reads them.

Rows are stored whole; an attempt cuts or drops what is longer than its plan's `max_length`, so a rung that
halves the length needs no new preparation; so it is with packs, which an attempt makes of the rows it reads. Not
here: tokenizing (`rendering`), which rows share a pack (`engine.packing`).
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.conversation import Example, example_from_json
from engine.errors import DataError
from engine.packing import best_fit
from engine.training.rendering import IGNORED, Rendered

if TYPE_CHECKING:
    from datasets import Dataset

SCHEMA = pa.schema([("line", pa.int64()), ("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])
TOKENS = ("input_ids", "labels")
READ = pa.schema([SCHEMA.field(name) for name in (*TOKENS, "line")])
PACKED = pa.schema(
    [*(SCHEMA.field(name) for name in TOKENS), ("seq_lengths", pa.list_(pa.int32())), ("line", pa.list_(pa.int64()))]
)
"""`seq_lengths`, by which TRL's collator tells the rows of a pack apart, and their lines, in the rows' order."""
TOKENS_AT_ONCE = 1 << 19
"""Tokens of a row group: what writing holds as Python numbers, some 20 MB."""
ROWS_AT_ONCE = 1000


class SplitWriter:
    """Writes one split row by row; `sha256` is that of its content, independent of the file format."""

    def __init__(self, folder: Path, name: str) -> None:
        self._writer = pq.ParquetWriter(folder / f"{name}.parquet", SCHEMA)
        self._digest = hashlib.sha256()
        self._num_tokens = 0
        self._columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}

    def add(self, row: Rendered) -> None:
        self._digest.update(json.dumps([row.input_ids, row.labels]).encode())
        self._columns["line"].append(row.line)
        self._columns["input_ids"].append(row.input_ids)
        self._columns["labels"].append(row.labels)
        self._num_tokens += len(row.input_ids)
        if self._num_tokens >= TOKENS_AT_ONCE:
            self._flush()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def _flush(self) -> None:
        if self._columns["line"]:
            self._writer.write_table(pa.table(self._columns, schema=SCHEMA))
        self._num_tokens = 0
        self._columns = {name: [] for name in SCHEMA.names}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._writer.close()


def write_split(folder: Path, name: str, rows: Iterable[Rendered]) -> str:
    """Write one split; the SHA-256 of its content."""
    with SplitWriter(folder, name) as writer:
        for row in rows:
            writer.add(row)
    return writer.sha256


def read_split(folder: Path, name: str, *, max_length: int, on_overflow: str) -> Dataset:
    """Columns input_ids, labels and line, each row at most `max_length` tokens with at least one trained.

    Rows whose trained tokens all lie beyond the cut are left out; the receipt has counted them. The rows are in a
    mapped file without a name, in `folder`: the system holds of them what it has room for.
    """
    file = folder / f"{name}.parquet"
    if not file.is_file():
        raise DataError(
            f"The rows as tokens are gone: there is no {file}.",
            means="They were removed after training, by `finetui clean --rows` perhaps; the result is as it was.",
            remedy=f"Prepare and train them anew: finetui replay {folder.parent / 'recipe.toml'}",
        )
    stored = pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE)
    cut = (cut_rows(pa.Table.from_batches([batch]), max_length, on_overflow) for batch in stored)
    return _mapped(cut, READ, folder)


def packed_rows(rows: Dataset, folder: Path, max_length: int) -> Dataset:
    """Whole rows of `read_split` joined into packs of at most `max_length` tokens, mapped as they are.

    Columns input_ids, labels, seq_lengths (tokens of each row in the pack) and line (a list).
    """
    table: pa.Table = rows.with_format("arrow")[:]
    lengths = pc.list_value_length(table["input_ids"]).to_pylist()
    packs = best_fit(lengths, max_length)
    at_once = max(1, min(ROWS_AT_ONCE, 16 * TOKENS_AT_ONCE // max_length))
    parts = (packs[at : at + at_once] for at in range(0, len(packs), at_once))
    return _mapped((_joined(table, part) for part in parts), PACKED, folder)


def _joined(rows: pa.Table, packs: list[list[int]]) -> pa.Table:
    """One row for each pack: the rows it names, one behind the other."""
    taken = rows.take([row for pack in packs for row in pack]).combine_chunks()
    lengths = pc.list_value_length(taken["input_ids"]).combine_chunks()
    row_ends = np.cumsum([0, *(len(pack) for pack in packs)])
    token_ends = np.concatenate([[0], np.cumsum(lengths.to_numpy())])[row_ends]
    columns: dict[str, Any] = {
        name: pa.ListArray.from_arrays(pa.array(token_ends, pa.int32()), pc.list_flatten(taken[name]).combine_chunks())
        for name in TOKENS
    }
    ends = pa.array(row_ends, pa.int32())
    columns["seq_lengths"] = pa.ListArray.from_arrays(ends, lengths.cast(pa.int32()))
    columns["line"] = pa.ListArray.from_arrays(ends, taken["line"].combine_chunks())
    return pa.table(columns, schema=PACKED)


def lines_of(row: dict[str, Any]) -> list[int]:
    """The lines in the source that a row of a dataset, or each row of its pack, stands in; none where not told."""
    line = row.get("line", [])
    return list(line) if isinstance(line, list) else [line]


def num_rows(rows: Dataset) -> int:
    """Rows, those inside packs counted each."""
    if "seq_lengths" not in rows.column_names:
        return len(rows)
    return int(pc.sum(pc.list_value_length(rows.with_format("arrow")[:]["seq_lengths"])).as_py() or 0)


def _mapped(tables: Iterable[pa.Table], schema: pa.Schema, folder: Path) -> Dataset:
    """The tables as one dataset, in a file without a name."""
    from datasets import Dataset  # a second to load, and whoever writes splits needs nothing of it

    descriptor, path = tempfile.mkstemp(suffix=".arrow", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file, pa.ipc.new_stream(file, schema) as stream:
            for table in tables:
                stream.write_table(table)
        return Dataset.from_file(path)
    finally:
        Path(path).unlink()


def cut_rows(rows: pa.Table, max_length: int, on_overflow: str) -> pa.Table:
    """The rows that are trained on, cut to `max_length` tokens."""
    lengths = pc.list_value_length(rows["input_ids"])
    if on_overflow == "drop":
        rows = rows.filter(pc.less_equal(lengths, max_length))
    cut = {name: pc.list_slice(rows[name], 0, max_length) for name in TOKENS}
    return pa.table({**cut, "line": rows["line"]}, schema=READ).filter(
        pa.array(_is_trained(cut["labels"].combine_chunks()))
    )


def _is_trained(labels: pa.ListArray) -> Any:
    """Whether each row has a label behind position 0, which predicts nothing: a label there is never scored."""
    offsets = labels.offsets.to_numpy()
    trained = np.concatenate([[0], np.cumsum(labels.values.to_numpy(zero_copy_only=False) != IGNORED)])
    starts = np.minimum(offsets[:-1] + 1, offsets[1:])
    return trained[offsets[1:]] > trained[starts]


def read_examples(path: Path) -> Iterator[Example]:
    """Untokenized rows, one JSON object a line, as preparation stored them; one at a time."""
    # In bytes, whose lines end at line breaks only: a row's text may hold U+2028 or U+0085.
    with path.open("rb") as file:
        for line in file:
            yield example_from_json(json.loads(line))
