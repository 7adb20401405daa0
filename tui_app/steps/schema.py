"""The types of the questions: a `Step` holds `Question`s, a question offers `Choice`s, an answer is a text.

Every answer is the text that `--set FIELD=TEXT` would take, so each front end hands over the same thing. Not here: the
steps themselves (`steps.sequence`) and what answers add up to (`steps.draft`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tui_app.steps.draft import Draft
    from tui_app.steps.surroundings import Surroundings

Kind = Literal["choice", "path", "text", "integer", "number", "yes_no"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer that is offered. `impossible` is the reason why it cannot be chosen here, empty for none.

    `detail` is what it costs or is in a few words (a size, a verdict), `explanation` one to three sentences for
    someone who meets it for the first time.
    """

    value: str
    label: str
    detail: str = ""
    explanation: str = ""
    impossible: str = ""


def no_choices(_draft: Draft, _surroundings: Surroundings) -> Sequence[Choice]:
    return ()


def never(_draft: Draft) -> bool:
    return False


def always(_draft: Draft) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One thing to be decided.

    `name` is the recipe's field (`adapter.r`), or one of our own that stands for several fields (`preset`, `device`,
    `size`, `method`). `choices` may be a beginning only: a question of kind path or text takes other texts too.
    Advanced questions are skipped unless asked for, or where `is_needed` says that the draft cannot do without.
    """

    name: str
    label: str
    kind: Kind
    own_help: str = ""
    choices: Callable[[Draft, Surroundings], Sequence[Choice]] = no_choices
    is_advanced: bool = False
    applies: Callable[[Draft], bool] = always
    is_needed: Callable[[Draft], bool] = never

    @property
    def help(self) -> str:
        """The recipe's own sentence for a field; ours for a question that stands for several."""
        if self.own_help:
            return self.own_help
        from engine.recipe import field_sentence  # late: pydantic is not needed for the first frame

        return field_sentence(self.name)


@dataclass(frozen=True, slots=True)
class Step:
    """One page of the wizard. `why` says in one sentence what is decided here."""

    name: str
    title: str
    why: str
    questions: tuple[Question, ...] = field(default=())
