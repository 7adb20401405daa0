"""Reading files: each kind, and everything that can be wrong with one."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.readers import json_lines, read_file, readers
from data.reading.blobs import file_blob
from data.rows import SourceRow
from data.sources import SourceSettings, open_source


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


def test_rows_of_an_array_without_line_breaks_are_told_apart_by_their_number(write: Any) -> None:
    rows = list(read_file(write("rows.json", '[{"a": 1}, {"a": 2},\n {"a": 3}, {"a": 4}')))
    assert [(row.line, row.value) for row in rows[:4]] == [(n, {"a": n}) for n in (1, 2, 3, 4)]
    assert (rows[4].line, rows[4].value) == (5, None)


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
        ("rows.csv", b"PAR1\x15\x04", "is not a whole Parquet file"),
        ("rows.zip", b"PK\x03\x04abc", "is a damaged zip archive"),
        ("rows.xlsx", b"PK\x03\x04abc", "is an Excel workbook"),
        ("rows.parquet", b"\x28\xb5\x2f\xfdabc", "cut short or damaged"),
        ("rows.jsonl.gz", gzip.compress(b"\x7fELF\x02\x01\x00\x00" * 20, mtime=0), "is binary, not text"),
        ("rows.csv.gz", gzip.compress(b"", mtime=0), "is empty"),
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


def saved(folder: Path, *rows: dict[str, Any]) -> None:
    """What datasets.save_to_disk writes, with a file of its cache left behind."""
    import pyarrow as pa

    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(list(rows))
    for name in ("data-00000-of-00001.arrow", "cache-1f2e.arrow"):
        with pa.ipc.new_stream(folder / name, table.schema) as writer:
            writer.write_table(table)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")


def test_a_folder_of_save_to_disk_gives_the_files_that_its_state_names(tmp_path: Path) -> None:
    saved(tmp_path / "set", {"q": "a", "m": [{"role": "user", "content": "x"}]}, {"q": "b", "m": None})
    (part,) = open_source(str(tmp_path / "set"), SourceSettings())
    assert [(row.line, row.value) for row in part.rows()] == [
        (1, {"q": "a", "m": [{"role": "user", "content": "x"}]}),
        (2, {"q": "b", "m": None}),
    ]
    (tmp_path / "set" / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(DataError, match="is missing"):
        open_source(str(tmp_path / "set"), SourceSettings())


def test_a_saved_dataset_dict_gives_the_split_that_is_asked_for(tmp_path: Path) -> None:
    saved(tmp_path / "set" / "train", {"q": "a"})
    saved(tmp_path / "set" / "test", {"q": "b"})
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    for split, value in ((None, "a"), ("test", "b")):
        (part,) = open_source(str(tmp_path / "set"), SourceSettings(split=split))
        assert [row.value for row in part.rows()] == [{"q": value}]


def test_values_that_json_has_no_word_for_are_put_into_one(tmp_path: Path) -> None:
    import datetime
    import decimal

    import pyarrow as pa

    moment = datetime.datetime(2024, 5, 1, 12, 30, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "at": [moment],
            "price": [decimal.Decimal("1.50")],
            "text": [b"caf\xc3\xa9"],
            "raw": [b"\xff\x00"],
            "map": pa.array([[("k", [b"v"])]], pa.map_(pa.string(), pa.list_(pa.binary()))),
            "took": [datetime.timedelta(seconds=1.5)],
        }
    )
    with pa.ipc.new_file(tmp_path / "rows.arrow", table.schema) as writer:
        writer.write_table(table)
    expected = {"at": "2024-05-01T12:30:00+00:00", "price": "1.50", "text": "café", "raw": "/wA=", "map": {"k": ["v"]}}
    assert values(tmp_path / "rows.arrow") == [(1, expected | {"took": 1.5})]


def test_a_json_array_of_any_size_is_read_with_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    with path.open("w") as file:
        file.write("[" + ",\n".join(json.dumps({"a": "x" * 1000, "n": n}) for n in range(8_000)) + "]")
    tracemalloc.start()
    try:
        assert sum(row.value is not None for row in read_file(path)) == 8_000
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_one_value_larger_than_the_window_is_read_whole_and_a_broken_one_is_known_at_once(write: Any) -> None:
    long = "x\\u00e9" * 500_000
    path = write("rows.json", f'[{{"a": "{long}"}},\n {{"a": [1, 2}}, {{"a": "{long}"}}]')
    assert values(path) == [(1, {"a": "xé" * 500_000})]
    assert [line for line, _ in problems(path)] == [2]


def test_text_behind_the_end_of_an_array_is_no_silent_loss(write: Any) -> None:
    path = write("rows.json", '[{"a": 1}]\n\n{"a": 2}\n')
    assert values(path) == [(1, {"a": 1})]
    assert problems(path) == [(3, "not valid JSON from here to the end of the file (text behind its end)")]


def test_objects_over_several_lines_one_behind_another_are_rows(write: Any) -> None:
    path = write("rows.json", '{\n "a": 1\n}\n{\n "a": 2\n}\n')
    assert values(path) == [(1, {"a": 1}), (4, {"a": 2})]


def test_a_line_longer_than_the_limit_costs_only_itself(write: Any) -> None:
    path = write("rows.jsonl", '{"a": "' + "x" * 5000 + '"}\n{"a": 1}\n{"b": "' + "y" * 1200)
    rows = list(json_lines.read(file_blob(path), largest_line=1000))
    assert [(row.line, row.value) for row in rows] == [(1, None), (2, {"a": 1}), (3, None)]
    assert all("longer than" in (row.problem or "") for row in (rows[0], rows[2]))


def test_a_line_of_100_megabytes_is_a_row_like_others(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"a": "')
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n{"a": "y"}\n')
    assert [len(row.value["a"]) for row in read_file(path) if row.value] == [100_000_000, 1]


def test_a_single_nul_byte_costs_only_its_line(write: Any) -> None:
    good = '{"text": "one two three four five"}\n'
    path = write("rows.jsonl", good + '{"text": "a\0b"}\n' + good)
    assert [line for line, _ in values(path)] == [1, 3]
    assert [line for line, _ in problems(path)] == [2]
