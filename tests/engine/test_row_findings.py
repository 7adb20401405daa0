"""What the checks find in a recipe's rows, in this process and in the worker that a screen starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import DataError
from engine.recipe import Recipe
from engine.row_findings import MAX_ROWS, RowChecking, findings_of


def recipe_for(folder: Path, rows: list[Any], **data: Any) -> Recipe:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {"model": {"name_or_path": "a/b"}, "data": {"dataset": str(path), **data}}
    return Recipe.from_values(values)


def pair(number: int) -> dict[str, str]:
    return {"prompt": f"What is {number}?", "completion": f"It is {number}, as everybody knows."}


def test_the_worker_tells_what_the_checks_find_worst_first(tmp_path: Path) -> None:
    recipe = recipe_for(tmp_path, [*map(pair, range(30)), pair(3), {"prompt": "x", "completion": ""}])
    found = RowChecking(recipe).run()
    assert found == findings_of(recipe)
    assert found is not None
    assert (found.num_rows, found.is_partial) == (32, False)
    assert [(one.check, one.level, one.num_rows) for one in found.findings[:2]] == [
        ("rejected", "error", 1),
        ("duplicates", "warning", 1),
    ]


def test_only_the_first_rows_are_looked_at_and_that_is_said(tmp_path: Path) -> None:
    rows = [{"text": f"{number}"} for number in range(MAX_ROWS + 5)]
    found = findings_of(recipe_for(tmp_path, rows, format="plain_text"))
    assert (found.num_rows, found.is_partial) == (MAX_ROWS, True)


def test_rows_that_the_recipe_does_not_want_are_not_looked_at_and_nothing_is_partial(tmp_path: Path) -> None:
    found = findings_of(recipe_for(tmp_path, [pair(number) for number in range(30)], max_rows=10))
    assert (found.num_rows, found.is_partial) == (10, False)


def test_rows_that_cannot_be_read_are_a_fault_with_the_words_of_the_reader(tmp_path: Path) -> None:
    recipe = recipe_for(tmp_path, [{"Was?": "a", "wie": "b"}] * 5)
    with pytest.raises(DataError, match="Was"):
        RowChecking(recipe).run()


def test_a_checking_that_was_cancelled_says_nothing(tmp_path: Path) -> None:
    checking = RowChecking(recipe_for(tmp_path, [pair(1)]))
    checking.cancel()
    assert checking.run() is None
