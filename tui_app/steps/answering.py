"""Answering: from one draft to the next, with what follows from an answer on this machine.

Every front end gives its answers here, so the same answers make the same recipe. Not here: what is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_app.steps.draft import METHOD, OWN, PRESET, SIZE, Draft
from tui_app.steps.methods import METHOD_FIELDS

if TYPE_CHECKING:
    from tui_app.steps.surroundings import Surroundings

SAFE_START = "demo-cpu"
"""Where nothing is known of the machine yet: it runs on any."""


def first_draft(surroundings: Surroundings) -> Draft:
    """The draft that a wizard opens with: the preset that suits this machine best, ready to be started."""
    for each in surroundings.matches or ():
        if each.verdict == "fits":
            return Draft(each.preset.name)
    return Draft(OWN if surroundings.matches else SAFE_START)


def answered(draft: Draft, name: str, text: str, surroundings: Surroundings) -> Draft:
    """The draft after an answer; one that says what the base says anyway is no answer."""
    if name == PRESET and text != OWN:
        draft = draft.without(SIZE)  # a preset has sizes of its own
    if name in METHOD_FIELDS:
        draft = draft.without(METHOD)
    elif name == METHOD:
        for field in METHOD_FIELDS:
            draft = draft.without(field)
    without = refreshed(draft.without(name), surroundings)
    if name != PRESET and text == without.value(name):
        return without
    if not text and _has_default(name):  # an emptied field is none that somebody has set to the default
        return without
    return refreshed(draft.with_answer(name, text), surroundings)


def _has_default(name: str) -> bool:
    from tui_app.steps.resolving import default

    return default(name) is not None


def refreshed(draft: Draft, surroundings: Surroundings) -> Draft:
    """The draft with the sizes that belong to it on this machine, as it is known now."""
    if not draft.is_own:
        return draft.with_suggestions(()) if draft.suggestions else draft
    from tui_app.steps.own_sizes import sized

    return sized(draft, surroundings.hardware)
