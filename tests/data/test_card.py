"""The dataset card: the same bytes for the same rows, and no text that a Markdown viewer would obey."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.card import Card, Change, write_card
from data.errors import DataError
from data.findings import Finding
from data.sources import SourceFile
from data.understanding.detection import Detection

FINDING = Finding(
    check="secrets",
    level="warning",
    what="Keys and tokens: 1 row.",
    means="A model can give them away.",
    num_rows=1,
    first_rows=("rows.jsonl, line 4",),
    kinds=(("GitHub token", 1),),
    fix="finetui data convert rows.jsonl --drop secrets -o clean.jsonl",
)
CARD = Card(
    title="rows.jsonl as messages",
    made_by="finetui data convert rows.jsonl --to messages",
    inputs=(SourceFile("rows.jsonl", "ab" * 32, 1234),),
    outputs=(SourceFile("out.jsonl", "cd" * 32, 999),),
    detection=Detection("alpaca", 1.0, "every sampled row has the columns"),
    num_read=10,
    num_kept=9,
    changes=(Change("dropped", 1, "It stood there twice.", ("rows.jsonl, line 7",)),),
    findings=(FINDING,),
    notes=("Near-duplicates were not looked for.",),
)


def test_a_card_says_what_was_read_kept_and_changed_and_why(tmp_path: Path) -> None:
    as_json, as_markdown = write_card(CARD, tmp_path / "made" / "here")
    told = json.loads(as_json.read_text())
    assert (told["num_read"], told["num_kept"]) == (10, 9)
    assert told["inputs"][0]["sha256"] == "ab" * 32
    assert told["outputs"][0]["sha256"] == "cd" * 32
    assert told["changes"][0]["why"] == "It stood there twice."
    assert Finding.from_json(told["findings"][0]) == FINDING
    text = as_markdown.read_text()
    for part in ("9 (90.0%)", "ab" * 32, "It stood there twice.", "line 7", "GitHub token: 1", FINDING.fix):
        assert part in text


def test_the_same_card_is_the_same_bytes_and_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write_card(CARD, tmp_path)]
    assert [path.read_bytes() for path in write_card(CARD, tmp_path)] == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset_card.json", "dataset_card.md"]


def test_names_and_texts_are_drawn_literally(tmp_path: Path) -> None:
    hostile = Card(
        title="a\n# b | c <script>",
        made_by="finetui data `x`",
        inputs=(SourceFile("a|b\x1b[31m\udcff.jsonl", "0" * 64, 1),),
        outputs=(),
        detection=Detection("alpaca", 1.0, "[x](http://y)"),
        num_read=0,
        num_kept=0,
    )
    _, path = write_card(hostile, tmp_path)
    text = path.read_text()
    assert text.startswith("# a\\\\n\\# b \\| c \\<script\\>\n")
    assert "\x1b" not in text
    assert "`` finetui data `x` ``" in text
    assert "\\[x\\]" in text
    assert "Nothing: the rows were only looked at." in text


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_card(CARD, tmp_path / "file")
