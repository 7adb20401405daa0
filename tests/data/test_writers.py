"""Every kind of file gives back the rows that were written to it, and the same bytes for the same rows."""

from __future__ import annotations

import math
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import DataError
from data.rows import Row, RowProblem
from data.sources import SourceSettings, open_source
from data.writers import Columns, FileKind, kind_named, kind_of_name, kinds
from data.writing.open_file import OpenFile, WrittenFile
from data.writing.survey import names_in, types_in

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
ROWS_OF_TEXTS = st.lists(st.fixed_dictionaries({"ask": TEXTS, "tell": TEXTS}), min_size=1, max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KINDS = [kind_named(ending.removeprefix(".")) for ending in kinds()]
COMPRESSED = [kind_named("jsonl.gz"), kind_named("csv.zst")]


def named(kind: FileKind) -> str:
    return kind.suffix


def written(path: Path, rows: list[Row], changes: Counter[str] | None = None) -> WrittenFile:
    kind = kind_of_name(path.name)
    assert kind is not None
    columns = Columns()
    numbered = list(enumerate(rows))
    if kind.writer.HOLDS == "values":
        columns, misfits = types_in(numbered)
        assert not misfits
    elif kind.ending != ".txt":
        columns = names_in(numbered)
    prepare = kind.writer.preparer(columns, Counter() if changes is None else changes)
    file = OpenFile(path, kind, columns)
    for row in rows:
        file.write(prepare(row))
    return file.complete()


def read_back(path: Path) -> list[Any]:
    rows = [row for part in open_source(str(path), SourceSettings()) for row in part.rows()]
    assert [row.problem for row in rows if row.problem] == []
    return [row.value for row in rows]


@pytest.mark.parametrize("kind", [kind for kind in KINDS + COMPRESSED if kind.ending != ".txt"], ids=named)
def test_rows_of_text_come_back_from_every_kind_of_file(kind: FileKind, tmp_path: Path) -> None:
    path = tmp_path / f"rows{kind.suffix}"

    @settings(max_examples=12)
    @given(ROWS_OF_TEXTS)
    def comes_back(rows: list[Row]) -> None:
        first = written(path, rows)
        assert read_back(path) == rows
        assert written(path, rows) == first

    comes_back()


@pytest.mark.parametrize("kind", [kind_named("jsonl"), kind_named("json")], ids=named)
def test_any_values_come_back_from_json(kind: FileKind, tmp_path: Path) -> None:
    path = tmp_path / f"rows{kind.suffix}"

    @settings(max_examples=12)
    @given(st.lists(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3), min_size=1, max_size=4))
    def comes_back(rows: list[Row]) -> None:
        written(path, rows)
        assert read_back(path) == rows

    comes_back()


def test_typed_columns_come_back_from_parquet(tmp_path: Path) -> None:
    rows: list[Row] = [
        {"n": 1, "x": None, "turns": [{"role": "user", "content": "Grüße 🙂"}], "ok": True},
        {"n": 2.5, "x": "later a text", "turns": [], "ok": False},
    ]
    written(tmp_path / "rows.parquet", rows)
    assert read_back(tmp_path / "rows.parquet") == rows


def test_rows_of_another_type_than_the_first_are_found_before_parquet_is_written() -> None:
    rows: list[tuple[int, Row]] = [
        (0, {"n": 1}),
        (1, {"n": "one"}),
        (2, {"n": None}),
        (3, {"m": "new"}),
        (4, {"n": []}),
    ]
    columns, misfits = types_in(rows)
    assert columns.names == ("n", "m")
    assert [number for number in range(5) if number in misfits] == [1, 4]


def test_a_paragraph_comes_back_from_a_text_file_and_a_blank_line_in_it_is_refused(tmp_path: Path) -> None:
    rows: list[Row] = [{"text": "one\nof two lines"}, {"text": "another"}]
    written(tmp_path / "rows.txt", rows)
    assert read_back(tmp_path / "rows.txt") == rows
    with pytest.raises(RowProblem, match="several texts"):
        written(tmp_path / "rows.txt", [{"text": "one\n\ntwo"}])
    with pytest.raises(DataError, match="one text per line"):
        written(tmp_path / "rows.txt", [{"text": "one\ntwo"}])


def test_values_that_json_has_no_word_for_are_written_otherwise_and_counted(tmp_path: Path) -> None:
    changes: Counter[str] = Counter()
    rows: list[Row] = [{"score": math.nan, "day": date(2026, 1, 2)}, {"score": 1.5, "day": Decimal("1.10")}]
    written(tmp_path / "rows.jsonl", rows, changes)
    assert read_back(tmp_path / "rows.jsonl") == [{"score": None, "day": "2026-01-02"}, {"score": 1.5, "day": "1.10"}]
    assert changes == {
        "'score': not a number, written as null": 1,
        "'day': a date, time or decimal, written as text": 2,
    }
    with pytest.raises(RowProblem, match="'image' is bytes"):
        written(tmp_path / "rows.jsonl", [{"image": b"\xff"}])
    with pytest.raises(RowProblem, match="surrogate"):
        written(tmp_path / "rows.jsonl", [{"text": "\ud800"}])


def test_lists_and_nulls_in_a_csv_cell_are_counted(tmp_path: Path) -> None:
    changes: Counter[str] = Counter()
    written(tmp_path / "rows.csv", [{"a": ["x", 1], "b": None, "c": True, "d": "a\rb"}], changes)
    assert read_back(tmp_path / "rows.csv") == [{"a": '["x", 1]', "b": "", "c": "true", "d": "a\rb"}]
    assert len(changes) == 2


def test_a_large_parquet_file_has_several_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("data.writers.parquet.ROW_GROUP_BYTES", 200_000)
    written(tmp_path / "rows.parquet", [{"text": f"{number} " + "x" * 100} for number in range(5000)])
    assert pq.ParquetFile(tmp_path / "rows.parquet").num_row_groups > 1
    assert len(read_back(tmp_path / "rows.parquet")) == 5000


def test_a_name_says_the_kind_and_a_compressed_parquet_is_refused() -> None:
    assert kind_of_name("Rows.CSV.GZ") == FileKind(".csv", ".gz")
    assert kind_of_name("folder") is None
    with pytest.raises(DataError, match="compressed once more"):
        kind_of_name("rows.parquet.gz")
    with pytest.raises(DataError, match=r"perhaps jsonl"):
        kind_named("jsnl")
