"""Reading files: each kind, and everything that can be wrong with one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.readers import read_file, readers
from data.rows import SourceRow


def rows(path: Path) -> list[SourceRow]:
    return list(read_file(path))


def values(path: Path) -> list[tuple[int, Any]]:
    return [(row.line, row.value) for row in read_file(path) if row.problem is None]


def problems(path: Path) -> list[tuple[int, str]]:
    return [(row.line, row.problem) for row in read_file(path) if row.problem is not None]


def test_json_lines_are_read_past_every_kind_of_broken_line(write: Any) -> None:
    path = write(
        "rows.jsonl",
        b'\xef\xbb\xbf{"a": 1}\n\n{"a": 2\n[1]\n"x"\n{"a": "\xff"}\nnull\r\n{"a": "\\u2028 \xe2\x80\xa8"}\r\n{"a": 3}',
    )
    assert values(path) == [(1, {"a": 1}), (8, {"a": "\u2028 \u2028"}), (9, {"a": 3})]
    assert [line for line, _ in problems(path)] == [3, 4, 5, 6, 7]
    reasons = dict(problems(path))
    assert reasons[3].startswith("not valid JSON")
    assert reasons[4] == "the line is a list, not an object"
    assert reasons[6] == "not valid UTF-8"


def test_a_last_line_cut_in_the_middle_costs_only_itself(write: Any) -> None:
    path = write("rows.jsonl", '{"a": 1}\n{"a": "unfini')
    assert values(path) == [(1, {"a": 1})]
    assert [line for line, _ in problems(path)] == [2]


@pytest.mark.parametrize("line", ["[" * 200_000, '{"a": ' + "9" * 10_000 + "}"])
def test_a_line_made_to_exhaust_the_parser_is_a_problem_like_others(write: Any, line: str) -> None:
    path = write("rows.jsonl", line + '\n{"a": 1}\n')
    assert values(path) == [(2, {"a": 1})]
    assert len(problems(path)) == 1


def test_a_json_array_gives_each_object_its_line(write: Any) -> None:
    path = write("rows.json", '\n[\n  {"a": 1},\n  {"a":\n   2}, 5,\n {"a": 3}\n]\n')
    assert values(path) == [(3, {"a": 1}), (4, {"a": 2}), (6, {"a": 3})]
    assert problems(path) == [(5, "the element is a number, not an object")]


def test_an_object_with_one_list_is_read_as_that_list(write: Any) -> None:
    path = write("rows.json", '{"version": {"n": [1]},\n "rows": [{"a": 1},\n {"a": 2}], "count": 2}')
    assert values(path) == [(2, {"a": 1}), (3, {"a": 2})]


def test_a_json_file_of_json_lines_is_read_as_such(write: Any) -> None:
    assert values(write("rows.json", '{"a": 1}\n{"a": [2]}\n')) == [(1, {"a": 1}), (2, {"a": [2]})]


@pytest.mark.parametrize("cut", [30, 22, 20])
def test_a_cut_off_json_array_gives_the_rows_before_the_cut_and_one_problem(write: Any, cut: int) -> None:
    path = write("rows.json", '[{"a": 1},\n {"a": 2},\n {"a": 3}]'[:cut])
    assert values(path)[:2] == [(1, {"a": 1}), (2, {"a": 2})]
    assert len(problems(path)) == 1
    assert "to the end of the file" in problems(path)[0][1]


def test_bytes_in_another_encoding_cost_only_the_element_that_holds_them(write: Any) -> None:
    path = write("rows.json", b'[{"a": "caf\xe9"},\n{"a": "caf\xc3\xa9"}]')
    assert values(path) == [(2, {"a": "café"})]
    assert problems(path) == [(1, "not valid UTF-8")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1], "b": [2]}', "these lists: 'a', 'b'"),
        ('{"a": 1}', "no list"),
        ("{", "no list"),
        ('{"a"', "no list"),
        ("5", "neither a JSON array nor a JSON object"),
        ("  \n", "neither a JSON array nor a JSON object"),
    ],
)
def test_a_json_document_without_rows_is_refused_with_what_it_holds(write: Any, text: str, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        rows(write("rows.json", text))


def test_text_is_read_by_paragraph_where_blank_lines_set_paragraphs_apart(write: Any) -> None:
    path = write("book.txt", b"\xef\xbb\xbfOne\ntwo.\n\n \nThree.\r\nFour.\r\n\n\xff\n\n")
    assert values(path) == [(1, {"text": "One\ntwo."}), (5, {"text": "Three.\nFour."})]
    assert problems(path) == [(8, "not valid UTF-8")]


def test_text_without_blank_lines_is_read_by_line(write: Any) -> None:
    assert values(write("lines.txt", "\none\ntwo\n\n")) == [(2, {"text": "one"}), (3, {"text": "two"})]


def test_parquet_rows_are_numbered_and_keep_their_types(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"q": ["a", None], "n": [1, 2], "m": [[{"role": "user", "content": "x"}], []]})
    pq.write_table(table, tmp_path / "rows.parquet")
    assert values(tmp_path / "rows.parquet") == [
        (1, {"q": "a", "n": 1, "m": [{"role": "user", "content": "x"}]}),
        (2, {"q": None, "n": 2, "m": []}),
    ]


@pytest.mark.parametrize("size", [4, 100, -20])
def test_a_cut_off_parquet_file_is_refused(tmp_path: Path, size: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"q": [str(n) for n in range(500)]}), path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match="not a whole Parquet file"):
        rows(path)


@pytest.mark.parametrize("suffix", sorted(readers()))
def test_an_empty_file_of_any_kind_is_refused_as_empty(write: Any, suffix: str) -> None:
    with pytest.raises(DataError, match="is empty"):
        rows(write(f"rows{suffix}", b""))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.jsonl", b"\x7fELF\x02\x01\x00\x00" * 20, "is binary, not text"),
        ("rows.csv", b"PAR1\x15\x04", "holds Parquet data"),
        ("rows.jsonl", '{"a": 1}'.encode("utf-16"), "is UTF-16 text"),
        ("rows.jsonl.gz", gzip.compress(b'{"a": 1}', mtime=0), "is gzip-compressed"),
        ("rows.json", gzip.compress(b'{"a": 1}', mtime=0), "is gzip-compressed"),
        ("rows.zip", b"PK\x03\x04abc", "is zip-compressed"),
        ("rows.parquet", b"\x28\xb5\x2f\xfdabc", "is zstandard-compressed"),
        ("rows.xlsx.old", b"abc", r"of a kind that is not read \(\.old\)"),
        ("rows", b"abc", r"of a kind that is not read \(no file name ending\)"),
    ],
)
def test_a_file_of_the_wrong_kind_is_refused_with_what_it_is(
    write: Any, name: str, content: bytes, expected: str
) -> None:
    with pytest.raises(DataError, match=expected) as caught:
        rows(write(name, content))
    assert caught.value.remedy


def test_a_file_that_vanished_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        rows(tmp_path / "gone.jsonl")


def test_rows_are_read_lazily(write: Any) -> None:
    path = write("rows.jsonl", "".join(json.dumps({"a": n}) + "\n" for n in range(10_000)))
    reading = read_file(path)
    assert next(reading) == SourceRow(1, {"a": 0}, None)
