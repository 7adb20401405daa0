"""What the line-based front ends say of the rows: how they are understood, or why not and what can be done about it.

Not here: looking at the rows (`tui_app/steps/rows`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui_app.fronts.folding import folded
from tui_app.steps.draft import Draft
from tui_app.steps.rows import ROWS, detected

if TYPE_CHECKING:
    from engine.recipe import Problem

COLUMNS = "data.columns"
QUESTIONS = (ROWS, "data.format", "data.template", COLUMNS)
"""Answers after which the rows may be understood otherwise."""


def rows_lines(draft: Draft, before: Draft, name: str) -> list[str]:
    """What is to be said after question `name` was answered; `before` is the draft before it was.

    Nothing for rows that are not there as a local file, and nothing twice.
    """
    found = detected(draft) if name in QUESTIONS else None
    if found is None or (name != ROWS and found == detected(before)):
        return []
    if not found.fault:
        return folded(f"Rows: {found.reason}")
    told = folded(f"! These rows cannot be read yet. {_on_one_line(found.fault)}")
    if found.columns:
        told += folded(f"The file's columns: {', '.join(found.columns)}.")
        told += folded(columns_help(found.columns))
    return told


def columns_help(columns: tuple[str, ...] = ()) -> str:
    """How `Columns` is answered, with an example from these columns of a file."""
    first, second = columns[:2] if len(columns) > 1 else ("Question", "Reply")
    names = [json.dumps(name, ensure_ascii=False) for name in (first, second)]
    return (
        "Columns says which of the file's columns is the prompt and which the answer that is learned, for example: "
        f"{{ prompt = {names[0]}, completion = {names[1]} }}"
    )


def question_help(draft: Draft, name: str) -> list[str]:
    """What ? adds to the recipe's own sentence about a question."""
    if name != COLUMNS:
        return []
    found = detected(draft)
    return folded(columns_help(found.columns if found is not None else ()))


def question_at_fault(wrong: Sequence[Problem], draft: Draft) -> str:
    """The question at which something is to be changed first, empty where none stands out."""
    if wrong:
        return wrong[0].field
    return COLUMNS if rows_fault(draft) else ""


def rows_fault(draft: Draft) -> str:
    """Why a run would fail at its rows, empty for none."""
    found = detected(draft)
    return _on_one_line(found.fault) if found is not None else ""


def _on_one_line(text: str) -> str:
    return " ".join(text.splitlines())
