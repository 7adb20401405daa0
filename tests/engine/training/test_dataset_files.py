"""Tokenized splits and untokenized rows on disk: what is written is what an attempt reads, cut to its length."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine.errors import DataError
from engine.training.dataset_files import read_split, write_split
from engine.training.rendering import IGNORED, Rendered

X = IGNORED
LONG = Rendered(3, [1, 2, 3, 4, 5, 6], [X, X, 3, 4, 5, 6], True)
LATE = Rendered(4, [7, 8, 9, 10, 11], [X, X, X, X, 11], True)
SHORT = Rendered(9, [12, 13], [X, 13], True)
FIRST_ONLY = Rendered(10, [14, 15, 16], [14, X, X], False)
ONE_TOKEN = Rendered(11, [17], [17], False)


def read(folder: Path, max_length: int, on_overflow: str = "truncate") -> list[tuple[list[int], list[int]]]:
    split = read_split(folder, "train", max_length=max_length, on_overflow=on_overflow)
    return [(row["input_ids"], row["labels"]) for row in split]


def test_what_is_written_is_read_back_in_order(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [LONG, LATE, SHORT])
    assert read(tmp_path, 100) == [(row.input_ids, row.labels) for row in (LONG, LATE, SHORT)]


def test_a_split_that_was_cleaned_away_is_said_with_the_way_to_train_anew(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="tokens are gone") as told:
        read(tmp_path, 100)
    assert "finetui replay" in told.value.remedy


def test_a_row_too_long_keeps_its_first_tokens(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [LONG, SHORT])
    assert read(tmp_path, 4) == [([1, 2, 3, 4], [X, X, 3, 4]), ([12, 13], [X, 13])]
    assert read(tmp_path, 6)[0] == (LONG.input_ids, LONG.labels), "exactly as long as allowed is not too long"


def test_a_row_whose_trained_tokens_are_cut_away_is_left_out(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [LATE, SHORT])
    assert read(tmp_path, 4) == [([12, 13], [X, 13])]
    assert len(read(tmp_path, 5)) == 2


def test_a_label_that_is_never_scored_does_not_keep_a_row(tmp_path: Path) -> None:
    """Nothing predicts the first token of a row."""
    write_split(tmp_path, "train", [FIRST_ONLY, ONE_TOKEN, SHORT])
    assert read(tmp_path, 100) == [([12, 13], [X, 13])]


def test_a_row_too_long_is_dropped_where_the_recipe_says_so(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [LONG, LATE, SHORT])
    assert [ids for ids, _ in read(tmp_path, 5, "drop")] == [LATE.input_ids, SHORT.input_ids]


def test_an_empty_split_is_a_split(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [])
    split = read_split(tmp_path, "train", max_length=8, on_overflow="truncate")
    assert len(split) == 0
    assert split.column_names == ["input_ids", "labels", "line"]


def test_rows_read_back_lie_in_a_mapped_file_that_has_no_name_any_more(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [LONG, SHORT])
    split = read_split(tmp_path, "train", max_length=4, on_overflow="truncate")
    assert [path.name for path in tmp_path.iterdir()] == ["train.parquet"]
    assert type(split.data).__name__ == "MemoryMappedTable"
    assert split[1] == {"input_ids": [12, 13], "labels": [X, 13], "line": 9}


def test_many_rows_are_written_and_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.training.dataset_files.TOKENS_AT_ONCE", 40)
    monkeypatch.setattr("engine.training.dataset_files.ROWS_AT_ONCE", 7)
    rows = [Rendered(line, [line] * (line % 9 + 1), [X] * (line % 9) + [line], True) for line in range(100)]
    digest = write_split(tmp_path, "train", rows)
    assert pq.ParquetFile(tmp_path / "train.parquet").num_row_groups > 5
    kept = [(row.input_ids[:5], row.labels[:5]) for row in rows if 1 < len(row.input_ids) <= 5]
    assert read(tmp_path, 5) == kept
    monkeypatch.undo()
    assert write_split(tmp_path, "again", rows) == digest


def test_the_hash_is_of_the_tokens_and_not_of_the_file(tmp_path: Path) -> None:
    first = write_split(tmp_path, "train", [LONG, SHORT])
    assert write_split(tmp_path, "again", iter([LONG, SHORT])) == first
    table = pq.read_table(tmp_path / "train.parquet")
    assert table.column_names == ["line", "input_ids", "labels"]
    assert table["line"].to_pylist() == [3, 9]
    moved = Rendered(50, SHORT.input_ids, SHORT.labels, True)
    assert write_split(tmp_path, "moved", [LONG, moved]) == first, "where a row stood changes nothing that is trained"


@pytest.mark.parametrize(
    "rows",
    [
        [SHORT, LONG],
        [LONG],
        [LONG, SHORT, SHORT],
        [LONG, Rendered(9, [12, 14], [X, 14], True)],
        [LONG, Rendered(9, [12, 13], [12, 13], True)],
    ],
)
def test_the_hash_changes_with_order_number_tokens_and_labels(tmp_path: Path, rows: list[Rendered]) -> None:
    assert write_split(tmp_path, "other", rows) != write_split(tmp_path, "train", [LONG, SHORT])


def test_stored_rows_are_read_one_at_a_time_in_any_locale(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from data.conversation import PlainText\n"
        "from data.many_rows.stored_rows import RowWriter\n"
        "from engine.training.dataset_files import read_examples\n"
        "row, path = PlainText('\\u4e2d\\u6587 \\u2028 \\x85', 1), Path(sys.argv[1])\n"
        "with RowWriter(path) as writer: writer.write(row.to_json())\n"
        "rows = read_examples(path)\n"
        "assert (next(rows), next(rows, None)) == (row, None)"
    )
    # Without its coercion to UTF-8, Python opens files in ASCII under this locale.
    environment = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "test.jsonl")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "中文" in (tmp_path / "test.jsonl").read_text(encoding="utf-8")
