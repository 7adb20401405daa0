"""The wizard's fourth page: how it is trained, with the memory that takes here recomputed at every change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import ClassVar

from tui_app.drawing import Line, fit_line, line, literal
from tui_app.screens.wizard_model import fault_told, missing_told
from tui_app.screens.wizard_page import StepPage
from tui_app.steps.draft import METHOD
from tui_app.steps.schema import Choice, Question
from tui_app.widgets.memory_bar import bar, headline, legend


def in_columns(choices: Sequence[Choice]) -> list[Choice]:
    """The choices with the parts of their details ("1.5 GiB of 20 GiB, fits, 4.9 M trained") under each other."""
    split = [each.detail.split(", ") for each in choices]
    widths = [max(len(part) for part in column) for column in zip_longest(*split, fillvalue="")]
    told = []
    for choice, parts in zip(choices, split, strict=True):
        placed = [
            part.ljust(room) if number == 1 else part.rjust(room)
            for number, (part, room) in enumerate(zip(parts, widths, strict=False))
        ]
        told.append(replace(choice, detail="  ".join(placed).rstrip() if len(parts) > 1 else choice.detail))
    return told


class MethodPage(StepPage):
    """The ways of training, their fields, and the memory bar, which stays in sight while the fields scroll."""

    DEFAULT_CSS = "MethodPage #above { dock: top; background: $background; }"
    MOST_CHOICES: ClassVar = 6
    ALWAYS: ClassVar = (
        *("adapter.r", "adapter.lora_alpha", "training.num_train_epochs", "training.max_steps"),
        *("training.learning_rate", "training.per_device_train_batch_size", "training.gradient_accumulation_steps"),
        "training.max_length",
    )

    def above(self, width: int) -> Sequence[Line]:
        return [*self._memory(width), line("")]

    def choices_of(self, question: Question) -> Sequence[Choice]:
        """What each method takes, column under column."""
        found = super().choices_of(question)
        return in_columns(found) if question.name == METHOD else found

    def _memory(self, width: int) -> list[Line]:
        review = self.desk.review
        if review is None:
            return [line(("Memory at the peak: ", "title"), ("working it out…", "dim"))]
        if missing := missing_told(self.desk.draft, width):
            return missing
        if review.fault or review.problems:
            return fault_told(review.fault or "\n".join(str(each) for each in review.problems), width)
        seen = review.outlook
        memory = seen.plan.memory if seen else None
        if seen is None or memory is None:
            return [line(("Memory is not predicted: ", "title"), "the model's config is not here yet")]
        late = () if self.desk.is_current else line(("   working it out…", "dim"))
        head = fit_line((*headline(memory, self.glyphs), *late), width)
        told = [head, bar(memory, width), *legend(memory, width)]
        if seen.time is None:
            return told
        is_known = seen.time.high_seconds is not None
        time = seen.time.short() if is_known else f"not known until the rows are counted ({seen.time.short()})"
        return [*told, fit_line(line(("Time, about: ", "dim"), literal(time)), width)]
