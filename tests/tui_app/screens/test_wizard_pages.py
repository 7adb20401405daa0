"""The wizard's fields: faults under them, paths completed, columns mapped, advanced ones, hostile names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui_app.on_screen import sees, shown, until
from tests.tui_app.wizard_play import DATA, DEMO, HOSTILE, METHOD, MODEL, REVIEW, known, play, row_named, typed
from tui_app.screens.wizard import WizardScreen
from tui_app.screens.wizard_data import DataPage
from tui_app.widgets.field_row import FieldRow
from tui_app.widgets.path_field import PathField


def test_a_faulty_value_is_answered_under_its_field_and_holds_enter_back() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("4")
        await until(pilot, lambda: wizard.place == METHOD)
        row = row_named(wizard, "adapter.r")
        assert isinstance(row.field, Input)
        await typed(pilot, row.field, "many")
        await pilot.press("enter")
        await pilot.pause()
        assert wizard.place == METHOD
        assert "Rank of the LoRA matrices" in row.fault
        assert wizard.desk.draft == DEMO
        await pilot.press("tab", "enter")
        await pilot.pause()
        assert wizard.place == METHOD
        assert wizard.focused is row.field
        await typed(pilot, row.field, "8")
        await pilot.press("enter")
        await until(pilot, lambda: wizard.place == REVIEW)
        assert wizard.desk.draft.typed("adapter.r") == "8"

    play(script)


def test_letters_and_digits_are_text_while_a_line_is_being_typed() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("2")
        await until(pilot, lambda: wizard.place == MODEL)
        await known(pilot, wizard)
        field = wizard.page.query_one(PathField).input
        await typed(pilot, field, "x/")
        await pilot.press("e", "q", "5", "D", "question_mark")
        assert field.value == "x/eq5D?"
        assert wizard.place == MODEL
        assert pilot.app.screen is wizard

    play(script)


def test_a_model_that_is_not_there_is_said_with_what_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("2")
        await until(pilot, lambda: wizard.place == MODEL)
        await known(pilot, wizard)
        field = wizard.page.query_one(PathField).input
        await typed(pilot, field, "./no/such/model")
        await pilot.press("enter")
        await pilot.pause()
        assert wizard.place == MODEL
        await sees(pilot, "There is no model at")
        await typed(pilot, field, "bundled:smollm2-135m-instruct")
        await pilot.press("enter")
        await until(pilot, lambda: wizard.place == DATA)

    play(script)


def test_tab_completes_a_path_in_the_rows_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "support.jsonl").write_text(json.dumps({"prompt": "a", "completion": "b"}) + "\n")

    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("3")
        await until(pilot, lambda: wizard.place == DATA)
        await known(pilot, wizard)
        field = wizard.page.query_one(PathField)
        await typed(pilot, field.input, "so")
        await sees(pilot, "some/")
        await pilot.press("tab")
        assert field.text == "some/"
        await pilot.press("tab")
        assert field.text == "some/support.jsonl"
        await pilot.press("tab")
        await until(pilot, lambda: wizard.focused is not field.input)
        assert wizard.desk.draft.typed("data.dataset") == "some/support.jsonl"

    play(script)


def test_columns_are_mapped_next_to_real_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"frage": f"{HOSTILE} {number}", "antwort": f"{number}."} for number in range(60)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("3")
        await until(pilot, lambda: wizard.place == DATA)
        await until(pilot, lambda: "Say below which column is which" in shown(pilot.app))
        parts = [row for row in wizard.page.query(FieldRow) if row.question.name.startswith("column ")]
        assert [row.question.name for row in parts] == ["column prompt", "column completion"]
        parts[0].field.focus()
        await pilot.press("right")
        parts[1].field.focus()
        await pilot.press("right", "right")
        assert wizard.desk.draft.recipe().data.columns == {"prompt": "frage", "completion": "antwort"}
        page = wizard.page
        assert isinstance(page, DataPage)

        def trains_the_answer() -> bool:
            # The columns passed by on the way to the last one have a preview of their own.
            rows = page.preview.rows if page.preview is not None else ()
            return bool(rows) and any("0." in text for text, is_trained in rows[0].pieces if is_trained)

        await until(pilot, trains_the_answer)
        assert "\x1b" not in shown(pilot.app)
        assert "\u202e" not in shown(pilot.app)
        assert parts[1].field.has_focus
        await pilot.press("enter")
        await until(pilot, lambda: wizard.place == DATA + 1)

    play(script, draft=DEMO.with_answer("data.dataset", "rows.jsonl"))


def test_hostile_names_are_drawn_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"{HOSTILE.replace('/', '')}.jsonl"
    (tmp_path / name).write_text(json.dumps({"prompt": HOSTILE, "completion": "b"}) + "\n")

    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("3")
        await until(pilot, lambda: wizard.place == DATA)
        await known(pilot, wizard)
        await sees(pilot, "[bold]x[] \\x1b[31mred \\u202e宽")
        text = shown(pilot.app)
        assert "\x1b" not in text
        assert "\u202e" not in text

    play(script, draft=DEMO.with_answer("data.dataset", name))


def test_advanced_fields_are_shown_on_request_and_found_by_their_fault() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("2")
        await until(pilot, lambda: wizard.place == MODEL)
        await known(pilot, wizard)
        assert not [row for row in wizard.page.query(FieldRow) if row.question.name == "model.dtype"]
        await pilot.press("e")
        await until(pilot, lambda: bool([r for r in wizard.page.query(FieldRow) if r.question.name == "model.dtype"]))
        await pilot.press("ctrl+5")
        await until(pilot, lambda: wizard.place == REVIEW)
        await pilot.press("g")
        await until(pilot, lambda: wizard.place == METHOD)
        assert wizard.focused is row_named(wizard, "training.max_length").field

    play(script, draft=DEMO.with_answer("training.max_length", "none"))
