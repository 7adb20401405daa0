"""The diffed stream shows what the full stream shows: the same cells on an xterm-like screen."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.pty_session import Screen
from tui_app.terminal.cell_grid import CellGrid, Frame
from tui_app.terminal.graphics import PLAIN, Look, after
from tui_app.terminal.screen_stream import Raw, ScreenStream, Setting

COLUMNS, ROWS = 12, 4
RED, BOLD_RED = after(PLAIN, "31"), after(PLAIN, "1;31")


class Pair:
    """One terminal that gets everything Textual would write, and one behind the grid."""

    def __init__(self, columns: int = COLUMNS, rows: int = ROWS) -> None:
        self.grid = CellGrid(columns, rows)
        self.stream = ScreenStream(self.grid)
        self.full, self.diffed = Screen(columns, rows), Screen(columns, rows)
        for screen in (self.full, self.diffed):
            screen.feed("\x1b[?7l")  # as Textual does: no automatic wrapping
        self.sent = ""

    def write(self, data: str) -> None:
        self.full.feed(data.replace("\n", "\r\n"))
        for passage in self.stream.feed(data):
            if isinstance(passage, Raw | Setting):
                self.send(passage.text)

    def frame(self) -> Frame:
        frame = self.stream.frame()
        self.send(frame.text)
        return frame

    def send(self, text: str) -> None:
        self.sent = text
        self.diffed.feed(text)

    def agree(self) -> bool:
        return self.full.cells() == self.diffed.cells()


def test_only_the_changed_cells_are_sent() -> None:
    pair = Pair()
    pair.write("\x1b[1;1Hloss 1.031")
    pair.frame()
    pair.write("\x1b[1;1Hloss 1.029")
    assert pair.frame().text == "\x1b[1;9H29"
    assert pair.agree()


def test_nothing_is_sent_for_the_same_screen_again() -> None:
    pair = Pair()
    pair.write("\x1b[1;1H\x1b[1;31mOOM\x1b[0m ladder")
    pair.frame()
    pair.write("\x1b[1;1H\x1b[1;31mOOM\x1b[0m ladder\x1b[1;1H")
    assert pair.frame() == Frame("", 0)


def test_a_short_gap_is_sent_again_and_a_long_one_is_jumped() -> None:
    pair = Pair()
    pair.write("\x1b[2;1Habcdefghijkl")
    pair.frame()
    pair.write("\x1b[2;1HXbYdefghijkZ\x1b[1;1H")
    assert pair.frame().text == "\x1b[2HXbY\x1b[8CZ"
    assert pair.agree()


def test_a_cursor_on_half_a_wide_character_does_not_shift_what_follows() -> None:
    pair = Pair()
    pair.write("\x1b[2;1H世\x1b[2;2H")
    pair.frame()
    pair.write("\x1b[2;3Ha\x1b[1;1H")
    pair.frame()
    assert pair.agree()


def test_a_change_of_colour_alone_is_sent_with_no_more_than_the_colour() -> None:
    pair = Pair()
    pair.write("\x1b[1;1H\x1b[1;31mab\x1b[0m")
    pair.frame()
    pair.write("\x1b[1;1H\x1b[1;32mab\x1b[0m\x1b[1;1H")
    assert pair.frame().text == "\x1b[1H\x1b[32mab"
    assert pair.agree()


def test_frames_that_were_not_sent_are_merged_into_the_next() -> None:
    pair = Pair()
    for step in range(100):
        pair.write(f"\x1b[1;1Hstep {step:3}")
    assert pair.frame().text == "\x1b[1H\x1b[mstep  99"
    assert pair.agree()


def test_half_an_overwritten_wide_character_leaves_a_blank() -> None:
    for column, shown in ((1, "x 中"), (2, " x中"), (3, "世x ")):
        pair = Pair()
        pair.write("\x1b[1;1H世中")
        pair.frame()
        pair.write(f"\x1b[1;{column}Hx")
        pair.frame()
        assert pair.diffed.lines_of_text()[0] == shown.rstrip()
        assert pair.agree()


def test_a_wide_character_is_never_sent_into_the_last_column() -> None:
    pair = Pair()
    pair.write(f"\x1b[1;{COLUMNS}H世")
    assert "世" not in pair.frame().text
    pair.write(f"\x1b[2;{COLUMNS - 1}H世")
    pair.frame()
    assert pair.diffed.lines_of_text()[:2] == ["", " " * (COLUMNS - 2) + "世"]
    assert pair.agree()


def test_the_last_cell_neither_wraps_nor_scrolls() -> None:
    pair = Pair()
    pair.write(f"\x1b[{ROWS};1H" + "x" * COLUMNS)
    pair.write("\x1b[1;1Htop")
    pair.frame()
    pair.write(f"\x1b[{ROWS};{COLUMNS}Hyz")
    pair.frame()
    assert pair.diffed.lines_of_text() == ["top", "", "", "x" * (COLUMNS - 1) + "z"]
    assert pair.agree()


def test_combining_marks_stay_with_their_letter() -> None:
    pair = Pair()
    pair.write("\x1b[1;1Hre\u0301sume\u0301")
    pair.frame()
    pair.write("\x1b[1;1Hre\u0300sume\u0301\x1b[1;1H")
    assert pair.frame().text == "\x1b[1;2He\u0300"
    assert pair.agree()


def test_a_flood_of_combining_marks_is_cut() -> None:
    grid = CellGrid(COLUMNS, ROWS)
    grid.write("a" + "\u0301" * 10_000 + "b", PLAIN)
    assert len(grid.frame().text) < 100


def test_what_follows_a_joined_emoji_is_placed_anew_and_sent_again_where_it_may_be_hit() -> None:
    family = "👨\u200d👩\u200d👧"
    pair = Pair()
    pair.write("\x1b[1;1Habcdefghijkl")
    pair.frame()
    pair.write(f"\x1b[1;1H{family}\x1b[1;1H")
    assert pair.frame().text == f"\x1b[1H  \x1b[1H{family}\x1b[1;3Hcdef"
    assert pair.agree()


def test_control_characters_in_a_text_are_never_sent() -> None:
    grid = CellGrid(COLUMNS, ROWS)
    grid.write("a\x9b31mb\x08\x0e\x7fc\td", PLAIN)
    assert grid.frame().text.endswith("a31mbcd")


def test_the_cursor_is_left_where_an_input_wants_it() -> None:
    pair = Pair()
    pair.write("\x1b[1;1Habc\x1b[3;5H")
    assert pair.frame().text.endswith("\x1b[3;5H")
    pair.write("\x1b[1;1Habc\x1b[3;6H")
    assert pair.frame() == Frame("\x1b[C", 0)
    assert (pair.diffed.cursor.x, pair.diffed.cursor.y) == (5, 2)


def test_a_shown_cursor_is_followed_home_and_a_hidden_one_is_not() -> None:
    pair = Pair()
    pair.write("\x1b[2;1Habc\x1b[1;1H")
    assert pair.frame().text.endswith("abc")
    pair.write("\x1b[?25h")
    assert pair.frame().text == "\x1b[1H"


def test_forgetting_repaints_everything_that_was_written_and_nothing_else() -> None:
    pair = Pair()
    pair.write("\x1b[1;1Habc\x1b[2;3Hdef\x1b[1;1H")
    pair.frame()
    pair.diffed.reset()
    pair.grid.forget()
    assert pair.frame().cells == 6
    assert pair.diffed.lines_of_text()[:2] == ["abc", "  def"]


def test_an_unknown_sequence_is_passed_on_in_its_place_and_ends_what_is_known() -> None:
    pair = Pair()
    pair.write("\x1b[1;1H\x1b[31mabcdef\x1b[1;4H\x1b[K")
    assert pair.sent == "\x1b[1H\x1b[0;31mabcdef\x1b[1;4H\x1b[K"
    pair.write("tail\x1b[1;1H\x1b[31mabc\x1b[0m")
    assert pair.frame().cells == 3
    assert pair.agree()


def test_settings_and_questions_leave_the_cells_known() -> None:
    pair = Pair()
    pair.write("\x1b[1;1Habc")
    pair.frame()
    pair.write("\x1b[?1003h\x1b[?2026$p\x1b[>25u\x1b]22;pointer\x07\x1b]52;c;YWJj\x07\x07\x1b[1;1Habd\x1b[1;1H")
    assert pair.frame().text == "\x1b[1;3Hd"


def test_a_newline_on_the_last_row_moves_the_screen_up() -> None:
    pair = Pair()
    pair.write(f"\x1b[1;1Hone\x1b[{ROWS};1Hlast")
    pair.frame()
    pair.write(f"\x1b[{ROWS};1H\nnew\x1b[1;1H")
    pair.frame()
    assert pair.diffed.lines_of_text() == ["", "", "last", "new"]


def test_a_link_is_opened_and_closed_around_its_cells() -> None:
    pair = Pair()
    pair.write("\x1b[1;1Ha\x1b]8;id=1;https://x.y\x1b\\bc\x1b]8;;\x1b\\d\x1b[1;1H")
    assert pair.frame().text == "\x1b[1H\x1b[ma\x1b]8;id=1;https://x.y\x1b\\bc\x1b]8;;\x1b\\d"


LETTERS = st.text(st.sampled_from("ab .▏⣿世中é\u0301"), min_size=1, max_size=COLUMNS + 4)
LOOKS = st.sampled_from(["", "1", "31", "1;31", "2;38;5;9", "38;2;1;2;3;48;2;4;5;6", "7", "4;44", "39;49"])


@st.composite
def writes(draw: st.DrawFn) -> str:
    """One update as Textual writes it: moves, styled text that is reset afterwards, newlines, a cursor place."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        row, column = draw(st.integers(1, ROWS + 1)), draw(st.integers(1, COLUMNS + 1))
        parts.append(f"\x1b[{row};{column}H")
        for _ in range(draw(st.integers(1, 3))):
            look, text = draw(LOOKS), draw(LETTERS)
            parts.append(f"\x1b[{look}m{text}\x1b[0m" if look else text)
            if row < ROWS and draw(st.booleans()):
                parts.append("\n")
                row += 1
    return "".join(parts) + f"\x1b[{draw(st.integers(1, ROWS))};{draw(st.integers(1, COLUMNS))}H"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(writes(), st.booleans(), st.sampled_from(["", "", "", "forget"])), min_size=1, max_size=8))
def test_the_diffed_stream_shows_the_same_cells_as_the_full_one(updates: list[tuple[str, bool, str]]) -> None:
    pair = Pair()
    pair.write("\x1b[1;1H" + "\n".join(" " * COLUMNS for _ in range(ROWS)))
    for update, dropped, disturbance in updates:
        pair.write(update)
        if disturbance:
            pair.grid.forget()
        if not dropped:
            pair.frame()
            assert pair.agree()
            home = (pair.full.cursor.x, pair.full.cursor.y) == (0, 0)
            assert home or (pair.diffed.cursor.x, pair.diffed.cursor.y) == (pair.full.cursor.x, pair.full.cursor.y)
    pair.frame()
    assert pair.agree()


def look_of(screen: Screen) -> tuple[object, ...]:
    screen.feed("\x1b[1;1Hx")
    return tuple(screen.buffer[0][0])


@settings(max_examples=100, deadline=None)
@given(st.lists(LOOKS, min_size=1, max_size=6))
def test_every_change_of_look_ends_in_the_look_that_was_asked_for(codes: list[str]) -> None:
    full, diffed = Screen(4, 1), Screen(4, 1)
    grid = CellGrid(4, 1)
    look = PLAIN
    for code in codes:
        full.feed(f"\x1b[{code}m")
        look = after(look, code)
        grid.move(0, 0)
        grid.write("x", look)
        diffed.feed(grid.frame().text)
        assert look_of(full) == tuple(diffed.buffer[0][0])
    assert isinstance(look, Look)
