"""Two runs row by row: which rows are the same, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

from engine.run_dir import RunDir
from tui_app.drawing import plain_text
from tui_app.runs.comparison_table import pairing_lines
from tui_app.runs.paired_answers import AnswerBook


def answered(root: Path, name: str, rows: list[tuple[str, str, bool]]) -> RunDir:
    run = RunDir.create(root, name)
    written = [{"request": asked, "expected": wanted, "correct": is_correct} for asked, wanted, is_correct in rows]
    (run.answers / "tuned.jsonl").write_text("".join(json.dumps(each) + "\n" for each in written))
    return run


def test_the_difference_is_paired_with_an_interval_and_a_sign_test(tmp_path: Path) -> None:
    base = answered(tmp_path, "base", [(f"q{n}", "a", n < 10) for n in range(40)])
    other = answered(tmp_path, "other", [(f"q{n}", "a", n < 30) for n in reversed(range(40))])
    (pairing,) = AnswerBook().pairings([base, other])
    assert pairing.found is not None
    assert (pairing.found.num_rows, pairing.found.num_better, pairing.found.num_worse) == (40, 20, 0)
    assert pairing.sentence.startswith("other-1 against base-1, the same 40 test rows: +50.0 points (+")
    assert "20 better, 0 worse, sign test p < 0.0001: more than chance explains." in pairing.sentence


def test_rows_are_the_same_by_content_and_only_shared_ones_count(tmp_path: Path) -> None:
    base = answered(tmp_path, "base", [("q", "a", True), ("q", "a", False), ("only here", "a", True)])
    other = answered(tmp_path, "other", [("q", "a", True), ("q", "another answer", True), ("q", "a", False)])
    (pairing,) = AnswerBook().pairings([base, other])
    assert pairing.found is not None
    assert (pairing.found.num_rows, pairing.found.num_better, pairing.found.num_worse) == (2, 0, 0)
    assert "2 shared of 3" in pairing.sentence
    assert "chance explains it too" in pairing.sentence


def test_runs_without_common_rows_or_without_answers_are_said_or_left_out(tmp_path: Path) -> None:
    base = answered(tmp_path, "base", [("q", "a", True)])
    stranger = answered(tmp_path, "stranger", [("w", "a", True)])
    silent = RunDir.create(tmp_path, "silent")
    (pairing,) = AnswerBook().pairings([base, stranger, silent])
    assert "no test row in common" in pairing.sentence


def test_answers_that_are_still_written_are_read_again_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    base = answered(tmp_path, "base", [("q", "a", True), ("w", "a", True)])
    other = answered(tmp_path, "other", [("q", "a", True)])
    book = AnswerBook()
    assert "1 shared of 2" in book.pairings([base, other])[0].sentence
    with (other.answers / "tuned.jsonl").open("a") as file:
        file.write('{"request": "w", "expected": "a", "correct": false}\n{"request": "x", "exp')
    (pairing,) = book.pairings([base, other])
    assert "the same 2 test rows" in pairing.sentence


def test_of_several_comparisons_it_is_said_that_some_fall_below_by_chance(tmp_path: Path) -> None:
    runs = [answered(tmp_path, "run", [("q", "[b]x", True)]) for _ in range(3)]
    told = plain_text(pairing_lines(AnswerBook().pairings(runs), 60))
    assert "Of 2 such comparisons, one in twenty falls below 0.05" in told.replace("\n", " ")
