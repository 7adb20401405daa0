"""Rows are shown before there is a run as training will see them, by a real process that can be ended."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from engine import row_preview as showing
from engine.errors import DataError, DiedError, RecipeError
from engine.recipe import Recipe
from engine.row_preview import RowPreview, RowPreviewing, row_preview

ROWS = [{"prompt": f"say {number}", "completion": "yes " * number} for number in range(1, 11)]


def asked(model: Path | str, dataset: Path | str, *, max_length: int = 64, **data: Any) -> Recipe:
    shares = {"eval_fraction": 0, "test_fraction": 0}
    return Recipe.from_values(
        {
            "model": {"name_or_path": str(model)},
            "data": {"dataset": str(dataset)} | shares | data,
            "training": {"max_length": max_length},
            "evaluation": {"enabled": False},
        }
    )


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A real process in the worker's place."""
    (folder / "other_previewer.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(showing, "MODULE", "other_previewer")


def test_rows_come_first_then_their_receipt_and_the_pieces_are_the_rendered_text(
    tiny_model_folder: Path, rows: Path, tmp_path: Path
) -> None:
    early, first, last = RowPreviewing(asked(tiny_model_folder, rows, max_length=48), tmp_path, 10).previews()
    assert early.detection == last.detection
    assert [(row.line, row.num_tokens) for row in early.rows] == [(row.line, None) for row in last.rows]
    assert first.receipt is None
    assert sum(count for _, count in last.lengths) == len(ROWS)
    assert first.rows == last.rows
    assert last.receipt is not None
    assert last.receipt.num_train == len(ROWS)
    assert last.detection == last.receipt.detection
    assert last.note == ""
    for row, source in zip(last.rows, ROWS, strict=True):
        text = "".join(text for text, _ in row.pieces)
        assert source["prompt"] in text
        trained = "".join(text for text, is_trained in row.pieces if is_trained)
        assert trained.startswith(source["completion"])
        assert row.num_tokens is not None
        assert row.is_cut == (row.num_tokens > 48)
    assert {row.is_cut for row in last.rows} == {True, False}
    assert sum(row.is_cut for row in last.rows) == last.receipt.over_length.num_rows
    assert sum(row.num_tokens or 0 for row in last.rows) - last.receipt.num_tokens_lost == last.receipt.num_tokens_kept


def test_without_the_tokenizer_rows_are_shown_untokenized_with_the_reason(rows: Path, tmp_path: Path) -> None:
    found = row_preview(asked("owner/not-here", rows), tmp_path, 2)
    assert found.note == "The model's tokenizer is not here yet; rows are shown untokenized."
    assert found.receipt is None
    assert found.detection is not None
    assert [row.num_tokens for row in found.rows] == [None, None]
    assert found.rows[0].pieces == (("user: say 1\n", False), ("assistant: yes \n", True))


def test_a_fault_in_the_rows_comes_back_as_the_error_it_is(tiny_model_folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.jsonl"
    odd.write_text('{"colour": "red", "size": 3}\n')
    with pytest.raises(DataError, match="none of the known formats") as fault:
        row_preview(asked(tiny_model_folder, odd), tmp_path)
    assert "template" in fault.value.remedy
    with pytest.raises(DataError, match=r"there is no gone\.jsonl"):
        row_preview(asked(tiny_model_folder, "gone.jsonl"), tmp_path)


def test_an_error_keeps_its_kind_and_an_unknown_kind_is_still_one_of_ours() -> None:
    told = {"happened": "a", "means": "b", "remedy": "c"}
    assert type(showing.error_of(told | {"kind": "RecipeError"})) is RecipeError
    assert showing.error_of(told | {"kind": "os"}).remedy == "c"


def test_a_worker_that_dies_is_told_with_its_last_words(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "raise SystemExit('no such library')")
    with pytest.raises(DiedError, match="ended with code 1: no such library"):
        row_preview(asked("owner/not-here", rows), tmp_path)


ONE_PREVIEW = """
import json, sys
print(json.dumps({"rows": [], "receipt": None, "detection": None, "note": ""}), flush=True)
sys.stdin.read()
import threading
threading.Event().wait()
"""


def test_a_preview_that_takes_too_long_ends_with_what_is_there(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, ONE_PREVIEW)
    *_, last = RowPreviewing(asked("owner/not-here", rows), tmp_path).previews(wait_seconds=1.0)
    assert "took more than 1 s" in last.note


def test_a_preview_can_be_cancelled_from_elsewhere_before_and_while_it_runs(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, ONE_PREVIEW)
    previewing = RowPreviewing(asked("owner/not-here", rows), tmp_path)
    seen: list[RowPreview] = []
    begun = threading.Event()

    def watch() -> None:
        for preview in previewing.previews():
            seen.append(preview)
            begun.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert begun.wait(60)
    previewing.cancel()
    watcher.join(60)
    assert not watcher.is_alive()
    assert len(seen) == 1
    assert list(previewing.previews()) == []
