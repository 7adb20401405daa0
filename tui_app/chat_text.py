"""A conversation with one model or two, as it stands, and how it reads: lines for a column, figures for an answer.

Knows no widget and no process. Not here: the screen (`tui_app/screens/chat`), line by line (`tui_app/chat_lines`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.cells import cell_len, chop_cells

from engine.units import format_seconds
from tui_app.drawing import Line, Role, line, literal

NUM_INDENT = 2


@dataclass(slots=True)
class Answer:
    """One side's answer; `figures` is what its last message told, `fault` what kept it from being given."""

    text: str = ""
    figures: Mapping[str, Any] | None = None
    fault: str = ""

    @property
    def is_over(self) -> bool:
        return self.figures is not None or bool(self.fault)


@dataclass(slots=True)
class Turn:
    """A question and what each side that was asked said to it, by name."""

    question: str
    answers: dict[str, Answer]


@dataclass(slots=True)
class Dialogue:
    """`system` stands before every question; an empty one is none. Each side goes on from its own answers."""

    system: str = ""
    turns: list[Turn] = field(default_factory=list)

    def ask(self, question: str, sides: Iterable[str]) -> dict[str, list[dict[str, str]]]:
        """Begin a turn; what is put before each side, as messages."""
        self.turns.append(Turn(question, {side: Answer() for side in sides}))
        return {side: self._messages(side) for side in self.turns[-1].answers}

    def hear(self, told: Mapping[str, Any]) -> bool:
        """Take a message of the worker about the last turn; whether the turn is over by it."""
        if not self.turns or "number" not in told:
            return False
        answers = self.turns[-1].answers
        if "error" in told:
            words = " ".join(told["error"][part] for part in ("happened", "means", "remedy")).strip()
            for answer in answers.values():
                if not answer.is_over:
                    answer.fault = words
            return True
        if "side" in told:
            answer = answers[told["side"]]
            if "text" in told:
                answer.text += told["text"]
            else:
                answer.figures = told
        return bool(told.get("done"))

    def break_off(self, why: str) -> None:
        """The last turn is not answered any further."""
        for answer in self.turns[-1].answers.values() if self.turns else ():
            if not answer.is_over:
                answer.fault = why

    def last_answers(self) -> dict[str, str]:
        """The texts of the last turn, by side; empty ones are left out."""
        if not self.turns:
            return {}
        return {side: answer.text for side, answer in self.turns[-1].answers.items() if answer.text}

    def _messages(self, side: str) -> list[dict[str, str]]:
        told = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns[:-1]:
            answer = turn.answers.get(side)
            if answer is not None and answer.text:
                told.append({"role": "user", "content": turn.question})
                told.append({"role": "assistant", "content": answer.text})
        return [*told, {"role": "user", "content": self.turns[-1].question}]


def figures_in_words(figures: Mapping[str, Any]) -> str:
    """ "ended by itself, 20 tokens, 21.3 tok/s, first after 0.2 s": how an answer came about."""
    if figures.get("is_stopped"):
        return f"stopped by you after {figures['num_tokens']} tokens"
    how = "ended by itself" if figures["ended"] else "cut off: longest answer"
    told = [how, f"{figures['num_tokens']} tokens"]
    if figures.get("tokens_per_second"):
        told.append(f"{figures['tokens_per_second']:.1f} tok/s")
    told.append(f"first after {format_seconds(figures['first_seconds'])}")
    if dropped := figures.get("num_dropped"):
        told.append(f"{dropped} oldest messages left out: the context is full")
    return ", ".join(told)


def column_lines(dialogue: Dialogue, side: str, width: int, sign: str) -> list[Line]:
    """The whole conversation of one side: questions behind `sign`, answers as they were written, figures under them."""
    told: list[Line] = []
    for turn in dialogue.turns:
        answer = turn.answers.get(side)
        told += [line("")] if told else []
        for number, part in enumerate(kept_lines(turn.question, width - NUM_INDENT)):
            told.append(line((f"{sign} " if number == 0 else "  ", "key"), (part, "strong")))
        if answer is None:
            told.append(line(("(not asked)", "faint")))
            continue
        told += [line(part) for part in kept_lines(answer.text, width)] if answer.text else []
        if answer.fault:
            told += [line((part, "bad")) for part in kept_lines(answer.fault, width)]
        elif answer.figures is not None:
            role: Role = "dim" if answer.figures.get("ended") else "warn"
            told += [line((part, role)) for part in kept_lines(figures_in_words(answer.figures), width)]
        elif not answer.text:
            told.append(line(("reading the question", "faint")))
    return told


def kept_lines(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` cells, its own line breaks and blanks kept, nothing a terminal obeys."""
    told: list[str] = []
    for raw in text.split("\n"):
        rest = shown_line(raw)
        while width > 1 and (len(rest) > (ahead := 2 * width + 8) or cell_len(rest) > width):
            head = chop_cells(rest[:ahead], width)[0]
            cut = head.rfind(" ") + 1
            head = head[:cut] if head[:cut].strip() and rest[len(head) : len(head) + 1] != " " else head
            told.append(head.rstrip())
            rest = rest[len(head) :].lstrip(" ")
        told.append(rest)
    while len(told) > 1 and not told[-1]:
        told.pop()
    return told


def shown_line(raw: str) -> str:
    """One line with its indentation, tabs as blanks, and control characters shown."""
    blanks = raw.expandtabs(4)
    body = blanks.lstrip(" ")
    return " " * (len(blanks) - len(body)) + literal(body)
