"""The screen as cells, twice: what it should show and what the terminal shows. A frame is the difference.

No terminal and no Textual in here: `CellGrid` takes text at a cursor and gives back the sequences that bring the
terminal up to date. The stream that Textual writes is read in `screen_stream`.

Terminals disagree about the width of emoji and joined characters, so what follows one is always placed anew, and
neighbours that a wider drawing of it may have hit are sent again.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, split_graphemes

from tui_app.terminal.graphics import Look, change

# A cell is its characters and its look. The right half of a wide character holds no characters.
Cell = tuple[str, Look]
Row = list[Cell | None]  # None: not known

# Combining marks beyond this many code points in one cell are left out: no script needs them, junk text has thousands.
_LONGEST_CLUSTER = 32
# An unchanged gap up to this many cells may be sent again where that is shorter than moving over it.
_LONGEST_GAP = 8
# Scripts whose characters every terminal draws two cells wide, unlike emoji.
_SURELY_WIDE = (
    (0x1100, 0x115F),
    (0x2E80, 0xA4CF),
    (0xAC00, 0xD7A3),
    (0xF900, 0xFAFF),
    (0xFE30, 0xFE6F),
    (0xFF00, 0xFF60),
    (0xFFE0, 0xFFE6),
    (0x20000, 0x3FFFD),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """Sequences that bring the terminal up to date, and how many cells they write (0: at most a cursor move)."""

    text: str
    cells: int


class CellGrid:
    """What the screen should show (`write` puts it there) against what the terminal shows (`frame` catches up).

    Columns and rows count from 0. The cursor of the writer (`x`, `y`) may stand at `columns`: behind the last
    cell, where the next character replaces that cell, as in a terminal without automatic wrapping. `forgotten`
    counts how often what the terminal shows was forgotten.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.x = self.y = 0
        self.cursor_shown = False
        self.forgotten = 0
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        """Take another size; nothing is known of either side afterwards."""
        self.columns, self.rows = max(columns, 1), max(rows, 1)
        self.clear()

    def clear(self) -> None:
        """Know neither what should be shown nor what is: only what is written from now on is sent."""
        self._wanted: list[Row] = [[None] * self.columns for _ in range(self.rows)]
        self.move(self.x, self.y)
        self.forget()

    def forget(self) -> None:
        """Know nothing of the terminal: the next frame repaints every cell that was ever written."""
        self._shown: list[Row] = [[None] * self.columns for _ in range(self.rows)]
        self._changed: dict[int, tuple[int, int]] = dict.fromkeys(range(self.rows), (0, self.columns))
        self._look: Look | None = None
        self._place: tuple[int, int] | None = None
        self.forgotten += 1

    def move(self, x: int, y: int) -> None:
        """Put the writer's cursor on a cell; beyond the screen means on its edge."""
        self.x, self.y = min(max(x, 0), self.columns - 1), min(max(y, 0), self.rows - 1)

    def next_line(self) -> bool:
        """Go to the start of the next row; False on the last one, where a terminal would move its content up."""
        if self.y == self.rows - 1:
            return False
        self.x, self.y = 0, self.y + 1
        return True

    def write(self, text: str, look: Look) -> None:
        """Put text at the cursor and move behind it. Control characters have no width and are left out."""
        if not text.isprintable():
            # Categories Zs, Cf and Co are not "printable" either: only real controls go.
            text = "".join(character for character in text if not _is_control(character))
        if text.isascii():
            self._write_narrow(text, look)
            return
        for start, end, width in split_graphemes(text)[0]:
            cluster = text[start : min(end, start + _LONGEST_CLUSTER)]
            if width == 0:
                self._join(cluster)
            else:
                self._write_cluster(cluster, width, look)

    def _write_narrow(self, text: str, look: Look) -> None:
        if not text:
            return
        x = min(self.x, self.columns - 1)
        room = self.columns - x
        if len(text) > room:
            text = text[: room - 1] + text[-1]
        self._put(x, [(character, look) for character in text])

    def _write_cluster(self, cluster: str, width: int, look: Look) -> None:
        x = min(self.x, self.columns - 1)
        if x + width > self.columns:
            # Half a wide character cannot be shown, and terminals differ in what they make of it.
            self._put(x, [(" ", look)])
            return
        self._put(x, [(cluster, look), *[("", look)] * (width - 1)])

    def _put(self, x: int, cells: list[Cell | None]) -> None:
        row, end = self._wanted[self.y], x + len(cells)
        low, high = x, end
        # A wide character of which one half is overwritten leaves a blank in the other.
        if (right := row[x]) is not None and right[0] == "" and x > 0:
            low = x - 1
            row[low] = (" ", right[1])
        if end < self.columns and (left := row[end]) is not None and left[0] == "":
            high = end + 1
            row[end] = (" ", left[1])
        row[x:end] = cells
        self._mark(self.y, low, high)
        self.x = end

    def _join(self, marks: str) -> None:
        """Add combining characters to the cell before the cursor."""
        row, x = self._wanted[self.y], self.x - 1
        if x > 0 and (cell := row[x]) is not None and cell[0] == "":
            x -= 1
        if x < 0 or (cell := row[x]) is None:
            return
        row[x] = ((cell[0] + marks)[:_LONGEST_CLUSTER], cell[1])
        self._mark(self.y, x, x + 1)

    def _mark(self, y: int, low: int, high: int) -> None:
        before = self._changed.get(y)
        self._changed[y] = (low, high) if before is None else (min(before[0], low), max(before[1], high))

    # Catching up

    def frame(self, *, follow_cursor: bool = True) -> Frame:
        """The difference, which counts as shown from here on; the caller sends it or calls `forget`.

        `follow_cursor` leaves the terminal's cursor where the writer's is, for input methods. Home is where nobody
        put it, and is not worth its bytes while the cursor is hidden.
        """
        out: list[str] = []
        # Held here: a signal handler may call `forget` at any moment, and what it made must stay empty.
        wanted, shown, changed = self._wanted, self._shown, self._changed
        self._changed = {}
        count = 0
        for y in sorted(changed):
            low, high = changed[y]
            if wanted[y][low:high] != shown[y][low:high]:
                count += self._catch_up(y, (low, high), wanted[y], shown[y], out)
        if self._look is not None and self._look.link:
            self._turn(self._look._replace(link=""), out)
        home_and_hidden = (self.x, self.y) == (0, 0) and not self.cursor_shown
        if follow_cursor and not home_and_hidden:
            self._go(min(self.x, self.columns - 1), self.y, out)
        return Frame("".join(out), count)

    def reach(self, look: Look) -> str:
        """Put the terminal's cursor and look where the writer's are; for text that is passed through."""
        out: list[str] = []
        self._go(min(self.x, self.columns - 1), self.y, out)
        self._turn(look, out)
        return "".join(out)

    def _catch_up(self, y: int, span: tuple[int, int], wanted: Row, shown: Row, out: list[str]) -> int:
        """Send the cells of a row that differ between the columns of `span`; how many they were."""
        (x, high), count = span, 0
        while x < high:
            cell = wanted[x]
            if cell is None or cell == shown[x]:
                x += 1
                continue
            if cell[0] == "" and x > 0:
                x -= 1
                cell = wanted[x]
                assert cell is not None
            if not self._fill_gap(x, y, shown, out):
                self._go(x, y, out)
            width = 2 if x + 1 < self.columns and (half := wanted[x + 1]) is not None and half[0] == "" else 1
            high = max(high, self._send((x, y), cell, width, shown, out))
            count += width
            x += width
        return count

    def _send(self, place: tuple[int, int], cell: Cell, width: int, shown: Row, out: list[str]) -> int:
        """Send one cell, two for a wide character; the column up to which the row may look different now."""
        (x, y), (characters, look) = place, cell
        self._turn(look, out)
        end = reach = x + width
        if _has_sure_width(characters):
            out.append(characters)
            self._place = (end, y) if end < self.columns else None
        else:
            if width == 2:  # a terminal that draws it in one cell leaves a blank in the other
                out.append("  ")
                self._place = None
                self._go(x, y, out)
            out.append(characters)
            self._place = None
            reach = min(x + sum(cell_len(character) for character in characters), self.columns)
            for hit in range(end, reach):
                shown[hit] = None
        shown[x:end] = [cell, *[("", look)] * (width - 1)]
        return reach

    def _fill_gap(self, x: int, y: int, shown: Row, out: list[str]) -> bool:
        """Send the unchanged cells up to `x` again if that is shorter than a move, and say whether it was done."""
        if self._place is None or self._place[1] != y or not 0 < x - self._place[0] <= _LONGEST_GAP:
            return False
        text = []
        if (first := shown[self._place[0]]) is not None and first[0] == "":
            return False  # the cursor was put on the right half of a wide character
        for cell in shown[self._place[0] : x]:
            if cell is None or cell[1] != self._look or not _has_sure_width(cell[0]):
                return False
            text.append(cell[0])
        again = "".join(text)
        if len(again.encode("utf-8", "replace")) > len(f"\x1b[{x - self._place[0]}C"):
            return False
        out.append(again)
        self._place = (x, y)
        return True

    def _go(self, x: int, y: int, out: list[str]) -> None:
        if self._place == (x, y):
            return
        there = f"\x1b[{y + 1}H" if x == 0 else f"\x1b[{y + 1};{x + 1}H"
        if self._place is not None and self._place[1] == y and x > self._place[0]:
            distance = x - self._place[0]
            forward = "\x1b[C" if distance == 1 else f"\x1b[{distance}C"
            there = min(there, forward, key=len)
        out.append(there)
        self._place = (x, y)

    def _turn(self, look: Look, out: list[str]) -> None:
        if look is not self._look:
            out.append(change(self._look, look))
            self._look = look


def _is_control(character: str) -> bool:
    """C0, DEL and C1: some terminals obey the last ones as escape sequences."""
    return character < " " or "\x7f" <= character <= "\x9f"


def _has_sure_width(characters: str) -> bool:
    """Whether every terminal draws this cell as wide as Textual counts it."""
    if characters.isascii():
        return True
    if len(characters) > 1:
        return False
    if cell_len(characters) == 1:
        return True
    return any(first <= ord(characters) <= last for first, last in _SURELY_WIDE)
