"""What the wizard's pages share: the draft, what was found out about the machine, and what the draft would cost here.

Nothing of Textual. `look` takes seconds and runs in a thread; everything else is at once. Not here: what the answers
add up to (`tui_app/steps`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tui_app.steps.answering import answered, first_draft, refreshed
from tui_app.steps.draft import Draft
from tui_app.steps.schema import Choice, Step
from tui_app.steps.surroundings import Surroundings

if TYPE_CHECKING:  # it brings pydantic, which the first frame does not wait for
    from tui_app.steps.model_facts import ModelFacts
    from tui_app.steps.review import Review


@dataclass(frozen=True, slots=True)
class Seen:
    """What looking at a draft showed: choices by question, and what would be done here; None: being worked out."""

    choices: dict[str, Sequence[Choice]] = field(default_factory=dict)
    review: Review | None = None


@dataclass(slots=True)
class Desk:
    """The wizard's state. `rejected` are answers that were typed and not taken: question -> (text, why).

    `is_fresh`: nobody has answered anything, so the draft becomes the preset that suits the machine once it is known.
    """

    draft: Draft
    surroundings: Surroundings = field(default_factory=Surroundings.unknown)
    is_fresh: bool = False
    seen: Seen = field(default_factory=Seen)
    rejected: dict[str, tuple[str, str]] = field(default_factory=dict)
    shows_advanced: bool = False
    hub_facts: dict[str, ModelFacts] = field(default_factory=dict)
    """What the hub told of models when it was asked, by name."""

    def give(self, name: str, text: str) -> str:
        """Take an answer; what is wrong with it, empty where it was taken. A value that stands already is no answer."""
        if name not in self.rejected and text == self.draft.value(name):
            return ""
        fault = self.draft.problem(name, text)
        if fault:
            self.rejected[name] = (text, fault)
            return fault
        self.rejected.pop(name, None)
        self.draft = answered(self.draft, name, text, self.surroundings)
        self.is_fresh = False
        return ""

    def arrived(self, around: Surroundings) -> None:
        """More is known of the machine."""
        self.surroundings = around
        if self.is_fresh and around.matches:
            self.draft = first_draft(around)
        self.draft = refreshed(self.draft, around)

    def take(self, seen: Seen) -> None:
        """Something was seen. Choices of other steps stay known, and figures until there are newer ones."""
        self.seen = Seen({**self.seen.choices, **seen.choices}, seen.review or self.seen.review)

    def shown(self, name: str) -> str:
        """The text to show for a question: what was typed last, taken or not."""
        return self.rejected[name][0] if name in self.rejected else self.draft.value(name)

    def fault(self, name: str) -> str:
        """What is wrong with what was typed last; empty for nothing."""
        return self.rejected[name][1] if name in self.rejected else ""

    def choices(self, name: str) -> Sequence[Choice]:
        return self.seen.choices.get(name, ())

    @property
    def review(self) -> Review | None:
        """The last one that was worked out; not `is_current`: of another draft."""
        return self.seen.review

    @property
    def is_current(self) -> bool:
        return self.seen.review is not None and self.seen.review.draft == self.draft


def look(draft: Draft, surroundings: Surroundings, step: Step) -> Iterator[Seen]:
    """The choices of a step, then what would be done, by the closed form. Slow: it reads model folders and rows."""
    from tui_app.steps.review import review

    assert surroundings.hardware is not None
    choices = {each.name: each.choices(draft, surroundings) for each in step.questions if each.applies(draft)}
    yield Seen(choices)
    yield Seen(choices, review(draft, surroundings.hardware))
