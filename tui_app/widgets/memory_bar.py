"""A memory prediction as a bar of letters, one letter per kind of memory: readable without colour.

    WWWWWWWWWWWWWWWWAAOOO###############::::......    W weights  A adapter  O optimizer  # activations  : beside  . free

Pure: lines from a prediction. Not here: the table with a sentence per term (`tui_app/memory_table`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.units import format_bytes
from tui_app.drawing import Line, Role, Span, fit_line, line, width_of
from tui_app.glyphs import UNICODE, Glyphs

if TYPE_CHECKING:  # brings pydantic, which the first frame does not wait for
    from engine.memory import MemoryPrediction


class Part(NamedTuple):
    """One stretch of the bar. `size_bytes` may be 0."""

    letter: str
    name: str
    role: Role
    size_bytes: int


_TRANSIENT = ("activations", "logits and loss", "temporaries", "gradient buckets", "gathered layers")
KINDS: tuple[tuple[str, str, Role, tuple[str, ...]], ...] = (
    ("W", "weights", "weights", ("weights", "quantization overhead")),
    ("A", "adapter+grad", "adapter", ("adapter", "gradients")),
    ("O", "optimizer", "optimizer", ("optimizer state",)),
    ("#", "activations", "activations", _TRANSIENT),
)
"""(letter, name, role, terms of a prediction)."""
VERDICT_ROLES: dict[str, Role] = {"fits": "good", "tight": "warn", "will not fit": "bad"}


def parts(memory: MemoryPrediction) -> tuple[Part, ...]:
    """What the capacity is taken by, in the order of the bar; the last part is what stays free."""
    sizes = dict(memory.terms)
    told = [Part(letter, name, role, sum(sizes.get(t, 0) for t in terms)) for letter, name, role, terms in KINDS]
    beside = max(memory.needed_bytes - sum(each.size_bytes for each in told), 0)
    free = max(memory.capacity_bytes - memory.needed_bytes, 0)
    return (*told, Part(":", "libraries", "others", beside), Part(".", "free", "free", free))


def bar(memory: MemoryPrediction, width: int) -> Line:
    """The bar in `width` cells. A plan that is too large gets a `|` where the memory there is ends."""
    there_is = parts(memory)
    cells = shares([each.size_bytes for each in there_is], width)
    told = line(*((each.letter * count, each.role) for each, count in zip(there_is, cells, strict=True)))
    if memory.needed_bytes <= memory.capacity_bytes or width < 2:
        return told
    return with_mark(told, min(width - 1, width * memory.capacity_bytes // memory.needed_bytes))


def with_mark(drawn: Line, place: int) -> Line:
    """The line with a `|` in the cell `place`; every span is one cell a character."""
    told: list[Span] = []
    start = 0
    for span in drawn:
        end = start + len(span.text)
        if start <= place < end:
            cut = place - start
            told += [Span(span.text[:cut], span.role), Span("|", "bad"), Span(span.text[cut + 1 :], span.role)]
        else:
            told.append(span)
        start = end
    return tuple(span for span in told if span.text)


def shares(sizes: list[int], width: int) -> list[int]:
    """How many of `width` cells each size gets: by share, at least one for each that is not 0."""
    total = sum(sizes)
    if not total or width <= 0:
        return [0] * len(sizes)
    exact = [size * width / total for size in sizes]
    cells = [max(int(share), 1 if size else 0) for share, size in zip(exact, sizes, strict=True)]
    by_rest = sorted(range(len(sizes)), key=lambda place: exact[place] - int(exact[place]), reverse=True)
    for place in by_rest:
        if sum(cells) < width and sizes[place]:
            cells[place] += 1
    while sum(cells) != width:
        largest = max(range(len(cells)), key=lambda place: cells[place])
        cells[largest] += 1 if sum(cells) < width else -1
        if cells[largest] < 0:
            return [0] * len(sizes)
    return cells


def legend(memory: MemoryPrediction, width: int) -> list[Line]:
    """What each letter stands for, with its size; on as many lines as it takes."""
    told: list[Line] = []
    current: Line = ()
    for each in parts(memory):
        if not each.size_bytes:
            continue
        entry = line((each.letter, each.role), f" {each.name} {format_bytes(each.size_bytes)}   ")
        if current and width_of(current) + width_of(entry) - 3 > width:
            told.append(current)
            current = ()
        current += entry
    return [fit_line(each, width) for each in ([*told, current] if current else told)]


def headline(memory: MemoryPrediction, glyphs: Glyphs = UNICODE) -> Line:
    """`needs 1.9 GiB of 3.2 GiB free   fits`, with a sign."""
    signs = {"fits": glyphs.done, "tight": glyphs.warning} if glyphs.is_unicode else {"fits": "ok,", "tight": "!"}
    sign = signs.get(memory.verdict, glyphs.impossible)
    return line(
        ("Memory at the peak: ", "title"),
        f"{format_bytes(memory.needed_bytes)} of {format_bytes(memory.capacity_bytes)}",
        "   ",
        (f"{sign} {memory.verdict}", VERDICT_ROLES.get(memory.verdict, "")),
    )


def short_bar(needed_bytes: int, capacity_bytes: int, width: int, glyphs: Glyphs) -> str:
    """A plain bar for a table: how much of the capacity is needed, `!` at its end where it is too little."""
    if capacity_bytes <= 0 or width <= 0:
        return ""
    if needed_bytes > capacity_bytes:
        return glyphs.full * (width - 1) + glyphs.warning
    filled = max(round(width * needed_bytes / capacity_bytes), 1)
    return glyphs.full * filled + glyphs.empty * (width - filled)
