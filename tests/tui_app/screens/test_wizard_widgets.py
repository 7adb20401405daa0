"""What the wizard's pages are made of: the memory bar, trained tokens, choices, columns, the machine's lines."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.message import Message

from data.preparation import DataRequest
from data.raw_rows import raw_rows
from engine.hardware import emulate, read_hardware
from engine.memory import MemoryPrediction
from engine.units import GIB
from tui_app.drawing import plain_text, width_of
from tui_app.glyphs import ASCII, UNICODE
from tui_app.steps.glossary import GLOSSARY, entries_for
from tui_app.steps.schema import Choice
from tui_app.widgets.choice_list import ChoiceList
from tui_app.widgets.column_mapping import parts_of, table_lines
from tui_app.widgets.hardware_lines import hardware_lines
from tui_app.widgets.memory_bar import bar, headline, legend, shares, short_bar
from tui_app.widgets.path_field import completed
from tui_app.widgets.steps_line import steps_line
from tui_app.widgets.token_lines import MOST_CHARACTERS, token_lines


def prediction(needed: int, capacity: int, verdict: str) -> MemoryPrediction:
    terms = (("weights", needed // 2), ("adapter", needed // 10), ("activations", needed // 4))
    peak = sum(size for _, size in terms)
    return MemoryPrediction(
        terms=terms,
        peak_bytes=peak,
        static_bytes=needed // 2,
        reserved_low_bytes=peak,
        reserved_high_bytes=peak,
        outside_bytes=0,
        needed_bytes=needed,
        capacity_bytes=capacity,
        verdict=verdict,
        reason="",
    )


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=8), st.integers(1, 200))
def test_the_cells_of_a_bar_add_up_and_nothing_that_is_there_is_left_out(sizes: list[int], width: int) -> None:
    cells = shares(sizes, width)
    assert sum(cells) in (0, width)
    if sum(size > 0 for size in sizes) <= width and any(sizes):
        assert all((count > 0) == (size > 0) for count, size in zip(cells, sizes, strict=True))


def test_each_kind_of_memory_has_its_letter() -> None:
    drawn = plain_text([bar(prediction(8 * GIB, 10 * GIB, "fits"), 100)])
    assert drawn == "W" * 40 + "A" * 8 + "#" * 20 + ":" * 12 + "." * 20
    assert "W weights 4.0 GiB" in plain_text(legend(prediction(8 * GIB, 10 * GIB, "fits"), 200))


def test_a_plan_that_is_too_large_shows_where_the_memory_ends() -> None:
    memory = prediction(20 * GIB, 10 * GIB, "will not fit")
    drawn = plain_text([bar(memory, 40)])
    assert len(drawn) == 40
    assert drawn[20] == "|"
    assert "will not fit" in plain_text([headline(memory)])
    assert short_bar(20 * GIB, 10 * GIB, 8, UNICODE) == "███████!"


def test_trained_tokens_are_told_apart_without_colour() -> None:
    pieces = [("ask\n", False), ("answer<end>", True), ("\n", False)]
    assert plain_text(token_lines(pieces, 40, ASCII)) == "ask\\n\nanswer<end>\\n\n^^^^^^^^^^^"
    styled = token_lines(pieces, 40, UNICODE)
    assert [(span.text, span.role) for span in styled[1]] == [("answer<end>", "trained"), ("⏎", "masked")]


@given(st.lists(st.tuples(st.text(max_size=60), st.booleans()), max_size=6), st.integers(4, 60))
def test_any_row_fits_its_width_and_sends_nothing_to_the_terminal(pieces: list[tuple[str, bool]], width: int) -> None:
    for drawn in token_lines(pieces, width):
        assert width_of(drawn) <= width
        assert all(span.text.isprintable() for span in drawn)


def test_a_row_of_any_length_is_cut_with_a_count() -> None:
    told = plain_text(token_lines([("x" * (MOST_CHARACTERS + 10_000), True)], 80))
    assert "(10,000 more characters)" in told


def test_a_card_tells_its_abilities_and_why_one_lacks() -> None:
    told = plain_text(hardware_lines(emulate(read_hardware(), "t4"), 120))
    assert "Tesla T4" in told
    assert "bf16 ✗" in told
    assert "4-bit ✓" in told
    assert all(width_of(each) <= 60 for each in hardware_lines(emulate(read_hardware(), "t4"), 60))


def test_the_row_of_steps_says_where_one_is_at_any_width() -> None:
    titles = ["Hardware & preset", "Model", "Data", "Method", "Review"]
    for width in (60, 80, 140):
        told = plain_text([steps_line(titles, 2, {0, 1}, "gpu-box", width)])
        assert "▸ 3 Data" in told
        assert len(told) <= width
    assert "1 Hardware & preset ✓" in plain_text([steps_line(titles, 2, {0, 1}, "gpu-box", 80)])


def test_completion_takes_what_all_paths_share() -> None:
    assert completed("so", ["some/", "song.jsonl"]) == "so"
    assert completed("so", ["some/a", "some/b"]) == "some/"
    assert completed("x", []) == "x"


def test_columns_stand_next_to_real_values(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [{"frage": f"Was ist {number}?\x1b[31m", "antwort": {"a": number}} for number in range(5)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = plain_text(table_lines(raw_rows(DataRequest(dataset=str(file))), 100))
    assert "line 1" in told
    assert "Was ist 2?" in told
    assert '{"a": 0}' in told
    assert "\x1b" not in told
    assert parts_of("auto") == ("prompt", "completion")
    assert parts_of("alpaca") == ("instruction", "input", "output")


def test_every_word_of_the_glossary_belongs_to_fields_that_exist() -> None:
    from engine.recipe import field_names

    known = {*field_names(), "method"}
    for word, (meaning, fields) in GLOSSARY.items():
        assert meaning.endswith("."), word
        assert set(fields) <= known, word
    assert entries_for("adapter.r")[0][0] == "LoRA rank (r)"


class ListApp(App[None]):
    """One list of choices, and what it said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[Message] = []

    def compose(self) -> ComposeResult:
        yield ChoiceList("method")

    def on_mount(self) -> None:
        choices = (
            Choice("lora", "LoRA", "2 GiB", "A small adapter."),
            Choice("qlora", "QLoRA", "1 GiB", "4 bits.", impossible="this card has no 4-bit kernels"),
            Choice("full", "Full", "9 GiB", "Every weight."),
        )
        self.query_one(ChoiceList).offer(choices, "lora")
        self.query_one(ChoiceList).focus()

    def on_choice_list_chosen(self, event: ChoiceList.Chosen) -> None:
        self.said.append(event)

    def on_choice_list_refused(self, event: ChoiceList.Refused) -> None:
        self.said.append(event)


@pytest.mark.parametrize(("key", "goes_on"), [("space", False), ("enter", True)])
def test_a_choice_that_is_not_possible_here_is_shown_with_its_reason_and_not_taken(key: str, goes_on: bool) -> None:
    async def played() -> None:
        app = ListApp()
        async with app.run_test(size=(70, 12)) as pilot:
            offered = app.query_one(ChoiceList)
            await pilot.press("down", key)
            assert isinstance(app.said[-1], ChoiceList.Refused)
            assert offered.chosen == "lora"
            assert "QLoRA  this card has no 4-bit kernels" in plain_text(offered.lines)
            assert "Not here: this card has no 4-bit kernels" in plain_text(offered.lines)
            await pilot.press("down", key)
            said = app.said[-1]
            assert isinstance(said, ChoiceList.Chosen)
            assert (said.choice.value, said.goes_on) == ("full", goes_on)

    asyncio.run(played())
