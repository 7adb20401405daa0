"""Rows in files: what was written is read back, as often as wanted, and files go with what refers to them."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from data.conversation import Example, PlainText, single_turn
from data.many_rows.key_index import RowNumbers
from data.many_rows.stored_rows import RowWriter, Scratch, StoredRows, less, more, stored_examples, stored_rejections
from data.rows import Rejection

ROWS: list[Example] = [
    single_turn('a "b"\r\n\x1b[31m', "c\u2028d\x85e", 2, "[x]"),
    PlainText("one\nline\x0cfeed", 3),
    PlainText("中文 🙂", 7),
]


def stored(folder: Path) -> StoredRows[Example]:
    with RowWriter(folder / "rows.jsonl") as writer:
        for row in ROWS:
            writer.write(row.to_json())
    return stored_examples(writer.path, writer.num_rows)


def test_rows_survive_the_way_to_disk_and_can_be_read_again_and_again(tmp_path: Path) -> None:
    rows = stored(tmp_path)
    assert [list(rows), list(rows)] == [ROWS, ROWS]
    assert len(rows) == 3


def test_rows_are_found_by_place_as_in_any_sequence(tmp_path: Path) -> None:
    rows = stored(tmp_path)
    assert (rows[0], rows[-1], rows[1:], rows[:9]) == (ROWS[0], ROWS[2], tuple(ROWS[1:]), tuple(ROWS))
    with pytest.raises(IndexError):
        rows[3]
    with pytest.raises(ValueError, match="forwards"):
        rows[::-1]


def test_rows_can_be_taken_out_of_their_file(tmp_path: Path) -> None:
    out = RowNumbers()
    out.add(1)
    left = less(stored(tmp_path), out)
    assert list(left) == [ROWS[0], ROWS[2]]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
    assert less(tuple(ROWS), out) == (ROWS[0], ROWS[2])


def test_rejections_are_added_behind_those_that_are_there_whatever_the_files_name(tmp_path: Path) -> None:
    first, second = Rejection(1, "'a' is empty", "rows\udcff.jsonl"), Rejection(9, "x\ny", "b")
    (tmp_path / "rejected.jsonl").touch()
    rejected = more(stored_rejections(tmp_path / "rejected.jsonl", 0), [first])
    assert list(more(rejected, iter([second]))) == [first, second]


def test_a_temporary_folder_stays_as_long_as_rows_in_it_are_in_use() -> None:
    scratch = Scratch()
    folder = scratch.path
    with RowWriter(folder / "rows.jsonl") as writer:
        writer.write(ROWS[0].to_json())
    rows = stored_examples(writer.path, 1, scratch)
    del scratch
    gc.collect()
    assert list(rows) == ROWS[:1]
    del rows
    gc.collect()
    assert not folder.exists()
