"""The wizard's page of rows: what the checks find, and well-known datasets to choose from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.tui_app.on_screen import sees, shown, until
from tests.tui_app.wizard_play import DATA, DEMO, HOSTILE, known, play, row_named
from tui_app.screens.wizard import WizardScreen
from tui_app.screens.wizard_data import DataPage
from tui_app.screens.wizard_dialogs import TextPage
from tui_app.widgets.choice_list import ChoiceList


async def at_rows(pilot: Pilot[int], wizard: WizardScreen) -> DataPage:
    await pilot.press("3")
    await until(pilot, lambda: wizard.place == DATA)
    await known(pilot, wizard)
    assert isinstance(wizard.page, DataPage)
    return wizard.page


@pytest.mark.parametrize(("size", "lines"), [((80, 24), 1), ((140, 40), 3)])
def test_what_the_checks_find_stands_in_few_lines_and_all_of_it_behind_a_key(
    size: tuple[int, int], lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"{HOSTILE} {number}?", "completion": f"It is {number}."} for number in range(30)]
    rows += [rows[3], {"prompt": "x", "completion": ""}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        page = await at_rows(pilot, wizard)
        await until(pilot, lambda: page.findings is not None)
        await sees(pilot, "Checks 1 error", "in 32 rows")
        text = shown(pilot.app)
        assert ("line 32: " in text) == (lines > 1)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, TextPage))
        await sees(pilot, "finetui data convert")
        text = shown(pilot.app)
        assert "\x1b" not in text
        assert "\u202e" not in text

    play(script, size=size, draft=DEMO.with_answer("data.dataset", "rows.jsonl"))


def test_well_known_datasets_of_a_use_case_are_offered_with_what_gets_worse() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        page = await at_rows(pilot, wizard)
        row_named(wizard, "use_case").field.focus()
        await pilot.press("left")  # from none to the last one
        await until(pilot, lambda: wizard.desk.draft.value("use_case") == "reasoning")
        await until(pilot, lambda: "openai/gsm8k" in shown(pilot.app))
        await sees(pilot, "Scores on GSM8K and MATH")
        (rows,) = (each for each in page.query(ChoiceList) if each.question == "data.dataset")
        rows.focus()
        await pilot.press("home", "down", "space")
        await until(pilot, lambda: wizard.desk.draft.value("data.dataset") == "openai/gsm8k")
        await known(pilot, wizard)
        data = wizard.desk.draft.recipe().data
        assert (data.subset, data.split, data.format) == ("main", "train", "question_answer")
        await sees(pilot, "Calculator marks")
        await until(pilot, lambda: "finetui data catalog openai/gsm8k --save" in shown(pilot.app))

    play(script)


def test_what_rows_may_mean_is_proposed_and_taken_with_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.csv").write_text("Question,Reply\n" + "what is it?,that\nwho?,me there\n" * 8)

    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        page = await at_rows(pilot, wizard)
        await until(pilot, lambda: "is meant (y" in shown(pilot.app))
        await pilot.press("y")
        await known(pilot, wizard)
        assert wizard.desk.draft.recipe().data.columns == {"prompt": "Question", "completion": "Reply"}
        await until(pilot, lambda: page.findings is not None)
        await until(pilot, lambda: "prompt is                 ‹ Question ›" in shown(pilot.app))

    play(script, draft=DEMO.with_answer("data.dataset", "odd.csv"))
