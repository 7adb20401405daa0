"""Command validity: the program that `evaluation.grammar` declares would accept the command of an answer.

It need not be the right command: that is `exact_match`. Rows whose expected answer is no command of that program have
no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.command_line.named_grammars import grammar_named
from data.command_line.verification import fault_of
from data.errors import DataError
from engine.evaluation.metrics import MeanOfRows, Need, Reply
from engine.evaluation.scoring import Scorer

if TYPE_CHECKING:
    from engine.recipe_sections import EvaluationSection


class CommandValidity(MeanOfRows):
    """1 or 0 for each row that asks for a command."""

    NAME = "command_validity"
    TITLE = "valid commands"
    NEEDS: frozenset[Need] = frozenset({"answer"})

    def problems(self, settings: EvaluationSection) -> list[tuple[str, str, str]]:
        """No grammar, or one that cannot be read."""
        if settings.grammar is None:
            return [("evaluation.grammar", "is unset.", 'Name a TOML grammar or "generator:venvy".')]
        try:
            grammar_named(settings.grammar)
        except DataError as fault:
            return [("evaluation.grammar", " ".join((fault.happened, fault.means)), fault.remedy)]
        return []

    def rows(self, replies: Sequence[Reply], settings: EvaluationSection) -> list[float | None]:
        """1 where the part compared is such a command. Raises DataError when the grammar cannot be read."""
        if settings.grammar is None:
            raise ValueError("command_validity is measured by a grammar, and evaluation.grammar is unset")
        scorer, grammar = Scorer.of(settings), grammar_named(settings.grammar)

        def is_valid(part: str | None) -> bool:
            return part is not None and fault_of(grammar, part) is None

        return [
            float(is_valid(scorer.found(reply.answer))) if is_valid(scorer.wanted(reply.expected)) else None
            for reply in replies
        ]


METRICS = (CommandValidity(),)
