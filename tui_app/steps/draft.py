"""What the wizard has gathered so far: a `Draft`, and which of its values the person typed.

A draft never changes; an answer makes another one. What its answers add up to is worked out in `resolving`, which is
imported late because it needs pydantic. Not here: where drafts are kept (`draft_file`), what is asked (`sequence`).
"""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from engine.hardware import Hardware
    from engine.recipe import Problem, Recipe
    from tui_app.recipe_source import Source

OWN = "own"
"""The base of a draft that starts from a model and rows, not from a recipe."""
PRESET, DEVICE, SIZE, METHOD, USE_CASE = "preset", "device", "size", "method", "use_case"
"""Questions that are no fields of a recipe."""
NO_USE_CASE = "none"
AUTO, CPU = "auto", "cpu"
FLAGS = (("model.name_or_path", "--model"), ("data.dataset", "--dataset"), (SIZE, "--size"), (METHOD, "--method"))
"""Answers with an option of their own in `finetui new`."""


class Suggestion(NamedTuple):
    """A value that nobody typed: the field, its text, and why."""

    field: str
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Draft:
    """`base` is a preset's name, a recipe file, an earlier run, or `OWN`.

    `answers` are (question, text) in the order they were given, a text being what `--set QUESTION=TEXT` would take:
    an empty one takes a field back to its default. `suggestions` are the sizes worked out for a model of one's own.
    """

    base: str = OWN
    answers: tuple[tuple[str, str], ...] = ()
    suggestions: tuple[Suggestion, ...] = ()

    def with_answer(self, name: str, text: str) -> Draft:
        """The draft after an answer; the one before it to the same question is forgotten."""
        if name == PRESET:
            return dataclasses.replace(self, base=text, suggestions=())
        kept = tuple(each for each in self.answers if each[0] != name)
        return dataclasses.replace(self, answers=(*kept, (name, text)))

    def without(self, name: str) -> Draft:
        """The draft as if the question had not been answered."""
        return dataclasses.replace(self, answers=tuple(each for each in self.answers if each[0] != name))

    def with_suggestions(self, suggestions: tuple[Suggestion, ...]) -> Draft:
        """The draft with other values that nobody typed."""
        return dataclasses.replace(self, suggestions=suggestions)

    @property
    def is_own(self) -> bool:
        return self.base == OWN

    def typed(self, name: str) -> str | None:
        """The answer to a question, None where it was not answered."""
        return dict(self.answers).get(name)

    def value(self, name: str) -> str:
        """As text: the answer, else what follows from other answers, else the base's, else the default."""
        if name == PRESET:
            return self.base
        if name in (DEVICE, SIZE, USE_CASE):
            return self.typed(name) or {DEVICE: AUTO, SIZE: "balanced", USE_CASE: NO_USE_CASE}[name]
        from tui_app.steps import resolving

        return resolving.text_of_field(self, name)

    def reason(self, name: str) -> str:
        """Where a value comes from, in a few words."""
        from tui_app.steps import resolving

        return resolving.reason(self, name)

    def recipe(self) -> Recipe:
        """The whole recipe. Raises RecipeError listing every fault."""
        from tui_app.steps import resolving

        return resolving.recipe(self)

    def source(self) -> Source:
        """The recipe with its name and the folder of its relative paths. Raises RecipeError."""
        from tui_app.steps import resolving

        return resolving.source(self)

    def problems(self) -> list[Problem]:
        """Every fault of the recipe; empty where it can be started as far as the recipe goes."""
        from tui_app.steps import resolving

        return resolving.problems(self)

    def problem(self, name: str, text: str) -> str:
        """What is wrong with an answer and how to mend it, in the words of `--set`; empty for a good one."""
        from tui_app.steps import resolving

        return resolving.problem(self, name, text)

    def overrides(self) -> tuple[str, ...]:
        """The `section.key=value` that make the base this draft's recipe, in order."""
        from tui_app.steps import resolving

        return resolving.overrides(self)

    def hardware(self, here: Hardware) -> Hardware:
        """The machine as the chosen device leaves it: one card, or none."""
        chosen = self.value(DEVICE)
        if chosen == AUTO:
            return here
        if chosen == CPU:
            return dataclasses.replace(here, gpus=(), gpu_note="the CPU, as asked")
        kept = tuple(gpu for gpu in here.gpus if gpu.uuid == chosen)
        return dataclasses.replace(here, gpus=kept or here.gpus)

    def visible_cards(self) -> str | None:
        """CUDA_VISIBLE_DEVICES for the run: None leaves it as it is, empty hides every card."""
        chosen = self.value(DEVICE)
        return None if chosen == AUTO else "" if chosen == CPU else chosen

    def command(self) -> str:
        """The shell command that starts the same run."""
        words = ["finetui"]
        if self.is_own:
            words.append("new")
            answers = dict(self.answers)
            for name, flag in FLAGS:
                if text := answers.pop(name, ""):
                    words += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
            for name in (DEVICE, USE_CASE):
                answers.pop(name, None)
            overrides = [f"{name}={text}" for name, text in answers.items()]
        else:
            words += ["replay", self.base]
            from tui_app.steps import resolving

            overrides = list(resolving.changing_overrides(self))
        for override in overrides:
            words += ["--set", override]
        words += ["--start"] if self.is_own else []
        command = " ".join(shlex.quote(word) for word in words)
        cards = self.visible_cards()
        return command if cards is None else f"CUDA_VISIBLE_DEVICES={shlex.quote(cards)} {command}"
