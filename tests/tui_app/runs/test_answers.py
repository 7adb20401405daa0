"""Reading the answers of two variants: kinds of rows, search, files that grow or are replaced, damaged lines."""

from __future__ import annotations

import json
from pathlib import Path

from tui_app.drawing import plain_text
from tui_app.glyphs import ASCII
from tui_app.runs.answers import Pair, Source
from tui_app.runs.example_lines import detail_lines, flow, marked

HOSTILE = "[bold]x[/] \x1b[31mred\x1b[0m \u202eright"


def answer(row: int, *, correct: bool, text: str = "ls", request: str = "list them") -> str:
    values = {
        "row": row, "line": row + 10, "request": request, "expected": "ls --all", "answer": text, "wanted": "ls --all",
        "found": text, "correct": correct, "group": "ls", "unseen": False, "seconds": 1.0,
    }  # fmt: skip
    return json.dumps(values) + "\n"


def pair_of(folder: Path, before: list[bool], now: list[bool], request: str = "list them") -> Pair:
    paths = folder / "base.jsonl", folder / "tuned.jsonl"
    for path, corrects in zip(paths, (before, now), strict=True):
        path.write_text("".join(answer(n, correct=is_right, request=request) for n, is_right in enumerate(corrects)))
    pair = Pair(Source("base", "base", paths[0]), Source("tuned", "tuned", paths[1]))
    while pair.read(1.0):
        pass
    return pair


def test_rows_fall_into_better_worse_wrong_and_right(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, [False, True, False, True], [True, False, False, True])
    assert pair.counts() == {"better": 1, "worse": 1, "wrong": 1, "right": 1, "all": 4}
    assert [pair.rows(kind) for kind in ("better", "worse", "wrong", "right")] == [[0], [1], [2], [3]]


def test_a_file_of_thousands_is_read_in_slices_and_texts_only_where_somebody_looks(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, [False] * 5_000, [True] * 5_000)
    fresh = Pair(pair.before, pair.now)
    num_slices = 1
    while fresh.read(0.0):
        num_slices += 1
    assert num_slices > 10
    assert fresh.counts()["better"] == 5_000
    index = fresh._indexes[0]
    assert not index._kept
    example = fresh.example(4_321)
    assert example is not None
    assert example.line == 4_331
    assert len(index._kept) == 1


def test_rows_appear_as_they_are_scored_and_a_torn_line_waits(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, [False, False], [True])
    assert pair.counts()["all"] == 1
    line = answer(1, correct=True)
    with (tmp_path / "tuned.jsonl").open("a") as file:
        file.write(line[:20])
    assert not pair.read(1.0)
    assert pair.counts()["all"] == 1
    with (tmp_path / "tuned.jsonl").open("a") as file:
        file.write(line[20:])
    pair.read(1.0)
    assert pair.counts()["better"] == 2


def test_a_replaced_file_is_read_anew_and_a_damaged_line_is_left_out(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, [False, False], [True, True])
    other = tmp_path / "new"
    other.write_text("{broken\n" + answer(1, correct=False))
    other.replace(tmp_path / "tuned.jsonl")
    pair.read(1.0)
    assert pair.rows("all") == [1]
    assert pair.rows("wrong") == [1]
    (tmp_path / "tuned.jsonl").unlink()
    assert not pair.read(1.0)


def test_a_search_goes_through_requests_and_answers(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, [False, False, True], [True, True, True])
    with (tmp_path / "tuned.jsonl").open("a") as file:
        file.write(answer(3, correct=True, text="find the ZEBRA"))
    with (tmp_path / "base.jsonl").open("a") as file:
        file.write(answer(3, correct=False))
    pair.search("zebra list")
    while pair.read(1.0):
        pass
    assert pair.rows("all") == [3]
    assert pair.rows("right") == []
    pair.search("")
    assert len(pair.rows("all")) == 4


def test_hostile_texts_are_drawn_and_never_obeyed(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, [False], [True], request=HOSTILE)
    example = pair.example(0)
    assert example is not None
    for width in (50, 100):
        text = plain_text(detail_lines(example, (HOSTILE, "tuned"), width, ASCII))
        assert "[bold]x[/]" in text
        assert all(each.isprintable() or each == "\n" for each in text)


def test_words_that_the_expected_text_lacks_are_marked_and_line_breaks_stay() -> None:
    assert [text for text, role in marked("ls --none now", "ls --all now") if role == "bad"] == ["--none"]
    assert plain_text(flow([("one two\n\n  three", "")], 7)) == "one two\n\n  three"
    assert plain_text(flow([("a" * 12, "")], 5)) == "aaaaa\naaaaa\naa"
