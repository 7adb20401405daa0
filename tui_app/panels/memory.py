"""Memory of the device: what is used and by whom, what was predicted term by term, what was probed, and the peak now.

Device used is what the driver sees; allocated and reserved are PyTorch's. On a CPU it is RAM and resident memory, and
says so. Not here: what the ladder did about it (`ladder`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tui_app.drawing import Line, Role, line, literal, width_of
from tui_app.meters import bar, clipped, labelled, short_bytes, stacked
from tui_app.runs.view import RunView

TERMS: tuple[tuple[str, Role, str, tuple[str, ...]], ...] = (
    ("W", "weights", "weights", ("weights", "quantization overhead")),
    ("A", "adapter", "adapter+gradients", ("adapter", "gradients")),
    ("O", "optimizer", "optimizer", ("optimizer state",)),
    ("#", "activations", "activations+loss", ()),
)
"""Letter, role, name, and the predicted terms it stands for; those of nobody else are the last one's."""
BAR_WIDTH = 60
ROOMY_WIDTH = 60


@dataclass(frozen=True, slots=True)
class Reading:
    """Bytes; None where nothing is known. `word` is VRAM or RAM."""

    word: str
    used: int | None
    total: int | None
    mine: int | None
    allocated: int | None
    reserved: int | None
    capacity: int | None
    peak: int | None

    @property
    def others(self) -> int | None:
        if self.used is None or self.mine is None:
            return None
        return max(self.used - self.mine, 0)


def read(view: RunView) -> Reading:
    """What is known of memory at the moment."""
    state = view.state
    device, step = state.device, state.last_step
    plan = view.plan
    named = plan.device if plan else device.device if device else ""
    is_card = named != "cpu" if named else step is not None and step.allocated_bytes is not None
    used = device.device_used_bytes if device else step.device_used_bytes if step and is_card else None
    mine = device.own_bytes if device else None
    if mine is None and step is not None and not is_card:
        mine = step.rss_bytes
    measured = state.measured or state.probed
    return Reading(
        word="VRAM" if is_card else "RAM",
        used=used,
        total=device.device_total_bytes if device else None,
        mine=mine,
        allocated=step.allocated_bytes if step else None,
        reserved=step.reserved_bytes if step else None,
        capacity=state.predicted.capacity_bytes if state.predicted else plan.capacity_bytes if plan else None,
        peak=measured.peak_bytes if measured else None,
    )


def by_letter(terms: tuple[tuple[str, int], ...]) -> list[tuple[str, Role, str, int]]:
    """The predicted terms gathered under their letters."""
    sizes, gathered = dict(terms), list[tuple[str, Role, str, int]]()
    for letter, role, name, members in TERMS[:-1]:
        gathered.append((letter, role, name, sum(sizes.pop(member, 0) for member in members)))
    letter, role, name, _ = TERMS[-1]
    return [*gathered, (letter, role, name, sum(sizes.values()))]


def _own_word(reading: Reading, width: int) -> str:
    """What the worker's share is called: resident memory holds the libraries, predictions do not."""
    if reading.word == "VRAM":
        return "M mine"
    return "M mine (RSS, libraries too)" if width >= ROOMY_WIDTH else "M mine (RSS)"


class Memory:
    """One row for a strip; a page with bars, terms and every prediction where there is room."""

    NAME: ClassVar[str] = "memory"
    TITLE: ClassVar[str] = "Memory"

    def draw(self, view: RunView, width: int, height: int) -> list[Line]:
        reading = read(view)
        if height == 1:
            return clipped([self._strip(view, reading, width)], width, 1, view.glyphs)
        drawn = self._now(reading, width)
        drawn += self._predicted(view, reading, width, roomy=height > 9)
        drawn += self._figures(view, reading, width, roomy=height > 9)
        if height > len(drawn) + 1 and len(view.state.ranks) > 1:
            drawn += self._ranks(view)
        if height > len(drawn) + 1 and len(view.predictions) > 1:
            drawn += self._plans(view)
        if len(drawn) == 0:
            drawn = [line(" ", ("nothing is known of memory yet: the plan comes first", "dim"))]
        return clipped(drawn, width, height, view.glyphs)

    def _strip(self, view: RunView, reading: Reading, width: int) -> Line:
        used, total = reading.used, reading.total
        predicted = view.state.predicted
        told = [f"peak {short_bytes(reading.peak)}"] if reading.peak is not None else []
        is_card = reading.word == "VRAM"
        said = "plan said" if is_card else "plan"
        told += [f"{said} {short_bytes(predicted.peak_bytes)}"] if predicted else []
        of = "" if is_card or not told else "tensors: "
        mine_word = "mine" if is_card else "RSS"
        tail = line((of + (" · " if view.glyphs.is_unicode else " - ").join(told), "dim"), " ")
        if used is None or total is None:
            mine = f"{mine_word} {short_bytes(reading.mine)}   " if reading.mine is not None else ""
            nothing = "no reading yet" if not (told or mine) else ""
            return (*line(" ", (reading.word, "strong"), f" {mine}{nothing}"), *tail)
        head = line(" ", (reading.word, "strong"), f" {short_bytes(used, unit=False)}/{short_bytes(total)} ")
        own = line(f" {mine_word} {short_bytes(reading.mine)} ", "") if reading.mine is not None else ()
        if told and width_of(head) + width_of(own) + width_of(tail) + 1 > width:
            tail = line((of + told[0], "dim"), " ")
        room = width - width_of(head) - width_of(own) - width_of(tail) - 1
        drawn = bar(used / total, min(room, 40), view.glyphs) if room >= 8 else ()
        return (*head, *drawn, *own, *line(" "), *tail)

    def _now(self, reading: Reading, width: int) -> list[Line]:
        if reading.used is None or reading.total is None:
            if reading.mine is None:
                return [line(" ", (f"no reading of {reading.word} yet", "dim"))]
            return [line(" ", ("RSS of the worker, libraries too ", "dim"), (short_bytes(reading.mine), "strong"))]
        free = max(reading.total - reading.used, 0)
        head = line(
            " ",
            (f"{reading.word} ", "strong"),
            (f"{short_bytes(reading.used, unit=False)} of {short_bytes(reading.total)} used", ""),
        )
        parts: list[tuple[str, Role, float]] = []
        legend: list[tuple[str, str, Role]] = []
        if reading.mine is not None and reading.others is not None:
            word = _own_word(reading, width)
            parts = [("M", "weights", reading.mine), (":", "others", reading.others)]
            legend = [(word, short_bytes(reading.mine), ""), (": others", short_bytes(reading.others), "")]
        else:
            parts = [("M", "weights", reading.used)]
            legend = [("M mine and others", short_bytes(reading.used), "")]
        size = min(width - 8, BAR_WIDTH)
        drawn = [head, line(" now  ") + stacked(parts, reading.total, max(size, 4))]
        legend.append((". free", short_bytes(free), ""))
        return drawn + [(*line("  "), *row) for row in labelled(legend, width - 2)]

    def _predicted(self, view: RunView, reading: Reading, width: int, *, roomy: bool) -> list[Line]:
        predicted = view.state.predicted
        if predicted is None:
            return []
        parts = by_letter(predicted.terms)
        total = reading.total or predicted.capacity_bytes
        size = max(min(width - 8, BAR_WIDTH), 4)
        drawn = [line(" plan ") + stacked([(letter, role, bytes_) for letter, role, _, bytes_ in parts], total, size)]
        legend = [(f"{letter} {name}", short_bytes(bytes_), role) for letter, role, name, bytes_ in parts if bytes_]
        drawn += [(*line("  "), *row) for row in labelled(legend, width - 2)]
        role: Role = {"fits": "good", "tight": "warn"}.get(predicted.verdict, "bad")  # type: ignore[assignment]
        if roomy:
            told = f"needs {short_bytes(predicted.needed_bytes)} of {short_bytes(predicted.capacity_bytes)}: "
            method = f" ({literal(predicted.method)})"
            verdict = line("  ", told, (literal(predicted.verdict), role))
            drawn.append((*verdict, *line((method, "dim"))) if width_of(verdict) + len(method) < width else verdict)
        return drawn

    def _figures(self, view: RunView, reading: Reading, width: int, *, roomy: bool) -> list[Line]:
        state = view.state
        peaks: list[tuple[str, str, Role]] = [
            (word, short_bytes(event.peak_bytes), "strong" if word == "now" else "")
            for word, event in (("predicted", state.predicted), ("probed", state.probed), ("now", state.measured))
            if event is not None
        ]
        if peaks:
            word, size, role = peaks[0]
            peaks[0] = (f"peak: {word}" if reading.word == "VRAM" else f"tensors: {word}", size, role)
        drawn = [(*line(" "), *row) for row in labelled(peaks, width - 1)]
        pairs: list[tuple[str, str, Role]] = [
            (word, short_bytes(size), "")
            for word, size in (
                ("allocated", reading.allocated),
                ("reserved", reading.reserved),
                ("may use", reading.capacity),
            )
            if size is not None
        ]
        if view.plan is not None and view.plan.enforce_limit and reading.capacity is not None:
            pairs[-1] = ("capped at", short_bytes(reading.capacity), "warn")
        elif roomy and state.predicted is not None:
            pairs = [pair for pair in pairs if pair[0] != "may use"]
        return drawn + [(*line(" "), *row) for row in labelled(pairs, width - 1)]

    def _ranks(self, view: RunView) -> list[Line]:
        drawn = [line(""), line(" ", ("every rank", "title"))]
        for each in view.state.ranks:
            figures = [("RSS", each.rss_bytes), ("allocated", each.allocated_bytes), ("reserved", each.reserved_bytes)]
            told = "  ".join(f"{word} {short_bytes(size)}" for word, size in figures if size is not None)
            drawn.append(
                line("  ", (f"{each.rank}", "strong"), f"  {literal(each.host)} {literal(each.device)}  {told}")
            )
        return drawn

    def _plans(self, view: RunView) -> list[Line]:
        drawn = [line(""), line(" ", ("every plan of this run", "title"))]
        for each in view.predictions:
            name = literal(each.plan_file.removesuffix(".json"))
            told = (
                f"{short_bytes(each.peak_bytes)} peak, needs {short_bytes(each.needed_bytes)}: {literal(each.verdict)}"
            )
            drawn.append(line("  ", (name, "strong"), f"  {told}"))
        return drawn


PANEL = Memory
