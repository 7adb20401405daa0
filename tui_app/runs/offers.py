"""Things to be marked in a list before something is asked of a run: what each is, what it costs, and why not.

Pure values and the lines they are drawn as. Not here: which there are (`export_offers`, `evaluate_offers`), and the
page around them (`tui_app/screens/asking_page`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tui_app.drawing import Line, Role, fit_line, line, literal, padded, wrap
from tui_app.glyphs import Glyphs
from tui_app.shell_words import shell_words

LABEL_WIDTH = 20


@dataclass(frozen=True, slots=True)
class Offer:
    """One row of the list. `impossible` is the reason why it cannot be marked, empty for none.

    `one_of` names a group of which exactly one is marked. `needs` is the offer without which this one means nothing.
    """

    name: str
    label: str
    detail: str = ""
    explanation: str = ""
    impossible: str = ""
    heading: str = ""
    """What stands above it; empty for nothing."""
    one_of: str = ""
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked with these marks: the request, and the words of the command line that asks the same.

    `settings` makes the request's arguments, exactly as the command does; slow the first time, and raises FinetuiError.
    `problem` says why nothing can be asked with these marks, else "".
    """

    stage: Literal["evaluate", "export"]
    title: str
    words: tuple[str, ...]
    settings: Callable[[], Mapping[str, Any]]
    problem: str = ""

    @property
    def command(self) -> str:
        return shell_words(self.words)


def turned(offers: Sequence[Offer], marked: Collection[str], name: str) -> set[str]:
    """The marks after one was set or taken away; of a group that has one, another is chosen."""
    offer = next(each for each in offers if each.name == name)
    marks = set(marked)
    if offer.one_of:
        return (marks - {each.name for each in offers if each.one_of == offer.one_of}) | {name}
    marks ^= {name}
    if name in marks and offer.needs and not _is_met(marks, offer.needs):
        marks.add(offer.needs)
    return marks


def _is_met(marks: Collection[str], needed: str) -> bool:
    """Whether what is needed is marked, by its own name or as `NEEDED:…`."""
    return any(name == needed or name.startswith(f"{needed.partition(':')[0]}:") for name in marks)


def offer_lines(
    offers: Sequence[Offer], marked: Collection[str], pointed: int, width: int, glyphs: Glyphs
) -> tuple[list[Line], int]:
    """(every line of the list, the line of the pointed-at offer)."""
    rows: list[Line] = []
    at = 0
    for place, offer in enumerate(offers):
        if offer.heading:
            rows += [line(" ", (literal(offer.heading), "title"))]
        if place == pointed:
            at = len(rows)
        rows.append(_offer_line(offer, width, glyphs, is_marked=offer.name in marked, is_pointed=place == pointed))
    return rows, at


def _offer_line(offer: Offer, width: int, glyphs: Glyphs, *, is_marked: bool, is_pointed: bool) -> Line:
    if offer.impossible:
        sign = f" {glyphs.impossible} "
    elif offer.one_of:
        sign = f"({glyphs.selected if is_marked else ' '})"
    else:
        sign = f"[{glyphs.done if is_marked else ' '}]"
    sign_role: Role = "dim" if offer.impossible else "accent" if is_marked else ""
    label_role: Role = "dim" if offer.impossible else "strong" if is_pointed else ""
    told = line(
        (f"{glyphs.pointer if is_pointed else ' '} ", "key"),
        (f"{sign} ", sign_role),
        (padded(literal(offer.label), LABEL_WIDTH, ellipsis=glyphs.ellipsis), label_role),
        (f" {literal(offer.impossible or offer.detail)}", "dim" if offer.impossible else ""),
    )
    return fit_line(told, width, ellipsis=glyphs.ellipsis)


def sentence_lines(offer: Offer | None, width: int) -> list[Line]:
    """What the pointed-at offer is, and why it cannot be had."""
    if offer is None:
        return []
    told = wrap(f"Not here: {literal(offer.impossible)}", width - 4, "warn") if offer.impossible else []
    return [line("   ", *each) for each in [*told, *wrap(literal(offer.explanation), width - 4, "dim")]]
