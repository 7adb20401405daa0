"""The tokenized splits on disk, and how an attempt reads them.

Rows are stored whole; an attempt cuts or drops what is longer than its plan's `max_length`, so a rung that
halves the length needs no new preparation. Not here: tokenizing (`rendering`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from data.conversation import Example, example_from_json
from engine.training.rendering import IGNORED, Rendered

SCHEMA = pa.schema([("line", pa.int64()), ("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])


def write_split(folder: Path, name: str, rows: Iterable[Rendered]) -> str:
    """Write one split; the SHA-256 of its content, independent of the file format."""
    digest = hashlib.sha256()
    columns: dict[str, list[Any]] = {"line": [], "input_ids": [], "labels": []}
    for row in rows:
        digest.update(json.dumps([row.input_ids, row.labels]).encode())
        columns["line"].append(row.line)
        columns["input_ids"].append(row.input_ids)
        columns["labels"].append(row.labels)
    pq.write_table(pa.table(columns, schema=SCHEMA), folder / f"{name}.parquet")
    return digest.hexdigest()


def read_split(folder: Path, name: str, *, max_length: int, on_overflow: str) -> Dataset:
    """Columns input_ids and labels, each row at most `max_length` tokens with at least one trained.

    Rows whose trained tokens all lie beyond the cut are left out; the receipt has counted them.
    """
    table = pq.read_table(folder / f"{name}.parquet")
    rows: dict[str, list[list[int]]] = {"input_ids": [], "labels": []}
    for ids, labels in zip(table["input_ids"].to_pylist(), table["labels"].to_pylist(), strict=True):
        if len(ids) > max_length and on_overflow == "drop":
            continue
        kept = labels[:max_length]
        # Position 0 predicts nothing: a label there is never scored.
        if all(label == IGNORED for label in kept[1:]):
            continue
        rows["input_ids"].append(ids[:max_length])
        rows["labels"].append(kept)
    return Dataset.from_dict(rows)


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Store untokenized rows, one JSON object a line, in UTF-8 whatever the locale."""
    lines = (json.dumps(example.to_json(), ensure_ascii=False) + "\n" for example in examples)
    path.write_text("".join(lines), encoding="utf-8")


def read_examples(path: Path) -> list[Example]:
    """The rows that `write_examples` stored."""
    # Not splitlines: a row's text may hold U+2028 or U+0085, which it would cut at too.
    lines = path.read_text(encoding="utf-8").split("\n")
    return [example_from_json(json.loads(line)) for line in lines if line]
