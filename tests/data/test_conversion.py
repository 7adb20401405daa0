"""Rows on their way into another format: nothing is lost, and what cannot be expressed is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.conversation import Conversation, single_turn
from data.errors import DataError
from data.formats import all_formats, format_named
from data.loading import Rows
from data.many_rows.key_index import RowNumbers
from data.rows import RowProblem
from data.sources import SourceSettings, open_source
from data.writers import Columns, kind_named
from data.writing.conversion import SAME, Conversion, RowsAsTheyStand, columns_for, without_misfits, write_rows
from data.writing.shards import Folder, SingleFile
from tests.data.conftest import Write

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip)


@pytest.mark.parametrize("name", all_formats())
def test_an_example_comes_back_from_every_format_that_can_express_it(name: str) -> None:
    module = format_named(name)

    @settings(max_examples=25)
    @given(TEXTS, TEXTS)
    def comes_back(request: str, answer: str) -> None:
        example = single_turn(request, answer, 1)
        try:
            row = module.row_of(example)
        except RowProblem:
            return
        again = module.convert(row, 1)
        assert isinstance(again, Conversation)
        assert (again.request, again.answer) == (request, answer)

    comes_back()


def test_a_broken_row_stops_the_output_and_all_of_them_are_told(write: Write, tmp_path: Path) -> None:
    rows = [{"prompt": "a", "completion": "b"}, {"prompt": "", "completion": "b"}, {"prompt": "a"}, "no object"]
    source = Rows(str(write("rows.jsonl", rows)))
    with Folder(tmp_path / "out", kind_named("jsonl"), None, {}) as output:
        output.begin()
        output.with_columns(Columns())
        with pytest.raises(DataError, match="3 of 4 rows cannot be written") as told:
            write_rows(Conversion(source, "messages"), output, lambda _: "train")
    assert "1 x 'prompt' is empty (first:" in told.value.means
    assert "rows.jsonl, line 4" in told.value.means
    assert not (tmp_path / "out").exists()


def test_bad_rows_are_listed_on_request_and_the_rest_is_written(write: Write, tmp_path: Path) -> None:
    path = write("rows.jsonl", [{"prompt": "a", "completion": "b"}, {"prompt": "", "completion": "b"}])
    with SingleFile(tmp_path / "out.jsonl", kind_named("jsonl")) as output:
        output.begin()
        output.with_columns(Columns())
        tally = write_rows(Conversion(Rows(str(path)), "messages"), output, lambda _: "train", skip_bad=True)
        output.finish()
    assert (tally.num_read, tally.num_written, tally.num_bad) == (2, {"train": 1}, 1)
    listed = (tmp_path / "out.jsonl.rejected.jsonl").read_text()
    assert listed == f'{{"file": "{path}", "line": 2, "reason": "\'prompt\' is empty"}}\n'
    assert [change.num_rows for change in tally.as_changes()] == [1]


def test_rows_of_any_columns_are_written_as_they_stand(write: Write) -> None:
    path = write("rows.csv", "a,b\n1,x\n2,\n")
    source = RowsAsTheyStand(open_source(str(path), SourceSettings()), max_rows=1)
    assert [(one.row.file_line, one.values) for one in Conversion(source, SAME)] == [(2, {"a": "1", "b": "x"})]


def test_dropped_rows_and_repaired_texts_are_told_apart(write: Write) -> None:
    path = write("rows.jsonl", [{"prompt": "a ", "completion": ["x"]}, {"prompt": "b", "completion": "c"}])
    dropped = RowNumbers()
    dropped.add(2)
    source = RowsAsTheyStand(open_source(str(path), SourceSettings()))
    first, second = Conversion(source, SAME, {"duplicates": dropped}, {"blanks": str.strip, "nothing": str})
    assert (first.values, first.repaired_by) == ({"prompt": "a", "completion": ["x"]}, ("blanks",))
    assert (second.values, second.dropped_by) == (None, "duplicates")
    emptied = Conversion(Rows(str(path)), "messages", {}, {"all": lambda _: " "})
    assert [one.problem for one in emptied][1] == "a text is empty after cleaning"


def test_rows_that_a_parquet_column_cannot_hold_are_problems(write: Write) -> None:
    path = write("rows.jsonl", [{"n": 1}, {"n": "one"}])
    conversion = Conversion(RowsAsTheyStand(open_source(str(path), SourceSettings())), SAME)
    _, misfits = columns_for(kind_named("parquet"), conversion)
    assert [bool(one.problem) for one in without_misfits(conversion, misfits)] == [False, True]
