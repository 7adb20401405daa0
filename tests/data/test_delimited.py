"""CSV and TSV: delimiters, quoting, line numbers, and rows that do not fit their header."""

from __future__ import annotations

from typing import Any

import pytest

from data.errors import DataError
from data.readers import read_file
from data.reading.csv_dialect import delimiter_of
from data.sources import SourceSettings, open_source


def read(path: Any) -> list[tuple[int, Any]]:
    return [(row.line, row.value if row.problem is None else row.problem) for row in read_file(path)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(write: Any, delimiter: str) -> None:
    text = (
        f"question{delimiter}answer\nWhat, or; who?{delimiter}x\n"
        if delimiter in "\t|"
        else (f'question{delimiter}answer\n"What{delimiter} or who?"{delimiter}x\n')
    )
    rows = read(write("rows.csv", text))
    assert [sorted(value) for _, value in rows] == [["answer", "question"]]
    assert rows[0][1]["answer"] == "x"


def test_prose_full_of_commas_does_not_hide_a_semicolon_file() -> None:
    assert delimiter_of("q;a\nOne, two, three;x, y\nFour;z\n") == ";"


def test_a_single_column_needs_no_delimiter(write: Any) -> None:
    assert read(write("rows.csv", "text\nhello\n")) == [(2, {"text": "hello"})]


def test_an_unknown_delimiter_leaves_one_column_whose_name_shows_it(write: Any) -> None:
    assert read(write("rows.csv", "question~answer\na~b\n")) == [(2, {"question~answer": "a~b"})]


def test_a_quoted_field_may_span_lines_and_later_rows_keep_their_physical_line(write: Any) -> None:
    path = write("rows.csv", b'\xef\xbb\xbfq,a\r\n"one\r\ntwo ""quoted""",x\r\n\r\ny,z\r\n')
    assert read(path) == [(2, {"q": 'one\r\ntwo "quoted"', "a": "x"}), (5, {"q": "y", "a": "z"})]


def test_rows_with_too_many_or_too_few_fields_are_problems_at_their_line(write: Any) -> None:
    path = write("rows.csv", "q,a\n1,2\n1\n1,2,3\n1,2\n")
    assert read(path) == [
        (2, {"q": "1", "a": "2"}),
        (3, "1 field(s) where the header has 2"),
        (4, "3 field(s) where the header has 2"),
        (5, {"q": "1", "a": "2"}),
    ]


def test_a_quote_that_never_closes_is_a_problem_at_the_line_where_it_opens(write: Any) -> None:
    rows = read(write("rows.csv", 'q,a\n1,2\n"open,3\n4,5\n'))
    assert rows[0] == (2, {"q": "1", "a": "2"})
    assert [(line, problem.startswith("not valid CSV")) for line, problem in rows[1:]] == [(3, True)]


def test_bytes_in_another_encoding_cost_only_their_row(write: Any) -> None:
    rows = read(write("rows.csv", b"q,a\ncaf\xe9,1\ncaf\xc3\xa9,2\n"))
    assert rows == [(2, "not valid UTF-8"), (3, {"q": "café", "a": "2"})]


def test_a_field_longer_than_the_csv_modules_own_limit_is_read(write: Any) -> None:
    long = "x" * 200_000
    assert read(write("rows.csv", f"q,a\n{long},1\n")) == [(2, {"q": long, "a": "1"})]


def test_an_unnamed_column_is_named_by_its_place(write: Any) -> None:
    assert read(write("rows.csv", ",q,a\n0,x,y\n")) == [(2, {"column 1": "0", "q": "x", "a": "y"})]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,a\n1,2\n", "names 'a' more than once"),
        (b"\n\n", "is missing"),
        (b"\xef\xbb\xbfcaf\xe9,a\n1,2\n", "not valid UTF-8"),
        (b"question\0,answer\n1,2\n", "NUL bytes"),
    ],
)
def test_a_header_that_names_no_columns_is_refused(write: Any, content: bytes, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        read(write("rows.csv", content))


def test_a_header_alone_holds_no_row(write: Any) -> None:
    assert read(write("rows.csv", "q,a\n")) == []


def test_tsv_is_split_at_tabs(write: Any) -> None:
    assert read(write("rows.tsv", "q\ta\nx, y\tz\n")) == [(2, {"q": "x, y", "a": "z"})]


def notes(path: Any) -> tuple[str, ...]:
    (part,) = open_source(str(path), SourceSettings())
    list(part.rows())
    return part.notes()


def test_the_first_line_of_excel_names_the_delimiter(write: Any) -> None:
    path = write("rows.csv", b"\xef\xbb\xbfsep=;\r\nq;a\r\n1,5;2\r\n")
    assert read(path) == [(3, {"q": "1,5", "a": "2"})]
    assert "fields are separated by ';'" in notes(path)


def test_line_ends_of_carriage_returns_alone_part_records(write: Any) -> None:
    assert read(write("rows.csv", "q,a\r1,2\r3,4\r")) == [(2, {"q": "1", "a": "2"}), (3, {"q": "3", "a": "4"})]


def test_a_delimiter_at_the_end_of_every_row_is_no_field_and_is_said(write: Any) -> None:
    path = write("rows.csv", "q,a\n1,2,\n3,4,\n")
    assert read(path) == [(2, {"q": "1", "a": "2"}), (3, {"q": "3", "a": "4"})]
    assert any("at the end of a line" in note for note in notes(path))


def test_a_nul_byte_costs_only_its_row(write: Any) -> None:
    text = "question,answer\n" + "what is it,this\n" * 3 + "wh\0at,that\n" + "what is it,this\n"
    assert [value for line, value in read(write("rows.csv", text)) if line == 5] == [
        "holds NUL bytes, which are no text"
    ]


def test_lines_of_blanks_are_no_rows(write: Any) -> None:
    assert read(write("rows.csv", "q,a\n1,2\n   \n\n3,4\n")) == [(2, {"q": "1", "a": "2"}), (5, {"q": "3", "a": "4"})]


def test_a_first_line_of_numbers_is_said_to_look_like_a_row(write: Any) -> None:
    assert any("looks like a row" in note for note in notes(write("rows.csv", "1,2\n3,4\n")))


@pytest.mark.parametrize(
    ("encoding", "text", "name"),
    [
        ("cp1252", "Größe,“so”\nMüller,5 €\ncafé,x\n", "Windows-1252"),
        ("cp1251", "вопрос,ответ\nкак дела сегодня,хорошо и спасибо\n", "Windows-1251"),
        ("cp932", "質問,答え\nこれは何ですか,日本語のテキストです\n", "Shift JIS"),
        ("gb18030", "问题,答案\n这是什么,这是一个中文的例子\n", "GB 18030"),
    ],
)
def test_a_legacy_encoding_is_guessed_and_the_guess_is_said(write: Any, encoding: str, text: str, name: str) -> None:
    path = write("rows.csv", text.encode(encoding))
    header, *rows = [line.split(",") for line in text.splitlines()]
    assert [value for _, value in read(path)] == [dict(zip(header, row, strict=True)) for row in rows]
    assert any(note.startswith(f"read as {name}") and "a guess" in note for note in notes(path))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_wide_encodings_are_read_with_and_without_a_mark(write: Any, encoding: str, suffix: str) -> None:
    text = "q,a\nGröße,漢字\n" if suffix == "csv" else '{"q": "Größe", "a": "漢字"}\n' * 2
    path = write(f"rows.{suffix}", text.encode(encoding))
    assert read(path)[-1] == (2, {"q": "Größe", "a": "漢字"})
    assert notes(path)[0] == f"read as {encoding[:6].upper()}"
