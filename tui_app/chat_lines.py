"""A conversation without a screen: one or more questions answered to stdout, or asked line by line.

Not here: the options (`tui_app/result_commands/chat`), what a conversation is (`tui_app/chat_text`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from engine.chat.client import ChatWorker, error_of
from engine.chat.settings import Settings
from engine.chat.sides import Side
from engine.errors import FinetuiError
from engine.units import format_seconds
from tui_app.chat_text import Dialogue, figures_in_words
from tui_app.plain import printable

COMMANDS = {
    "/new": "begin a new conversation",
    "/system TEXT": "what stands before every question; nothing shows it, - takes it away",
    "/side NAME": "who answers: a name, or all",
    "/quit": "leave; so does Ctrl-D",
}


class Talk:
    """One worker and one conversation. `system` None means: what the run's rows have."""

    def __init__(self, sides: Sequence[Side], settings: Settings, system: str | None) -> None:
        self.sides, self.settings = tuple(sides), settings
        self.asked = [side.name for side in sides]
        self.titles = {side.name: side.title for side in sides}
        self.dialogue = Dialogue(system or "")
        self._wants_system = system is None
        self.worker = ChatWorker(sides)
        self._messages = self.worker.messages()
        self._is_drawn = sys.stdout.isatty()

    def load(self) -> None:
        """Wait for the models. Raises what they could not be loaded for."""
        begun = time.monotonic()
        for told in self._messages:
            if "loading" in told:
                note(f"loading {told['loading']}")
            if "ready" in told:
                ready = told["ready"]
                if self._wants_system:
                    self.dialogue.system = ready["system"] or ""
                for text in ready["notes"]:
                    note(text)
                note(f"ready after {format_seconds(time.monotonic() - begun)}")
                return

    def answers(self, question: str) -> Iterator[dict[str, Any]]:
        """The worker's messages about a question, taken down already. Ctrl-C ends the answer. Raises FinetuiError."""
        self.worker.ask(self.dialogue.ask(question, self.asked), self.settings)
        while True:
            try:
                for told in self._messages:
                    is_over = self.dialogue.hear(told)
                    if "error" in told:
                        raise error_of(told["error"])
                    yield told
                    if is_over:
                        return
            except KeyboardInterrupt:
                self.worker.stop()
                self.dialogue.break_off("stopped")
                raise

    def write(self, question: str) -> None:
        """Stream the answers to stdout: the first side's as it comes, each other one's once its turn is there."""
        several = len(self.asked) > 1
        waiting = list(self.asked)
        texts = dict.fromkeys(waiting, "")
        told_of: set[str] = set()
        figures: dict[str, str] = {}
        for told in self.answers(question):
            name = told.get("side", "")
            if "text" in told:
                texts[name] += told["text"]
            elif name:
                figures[name] = figures_in_words(told)
            while waiting:
                first = waiting[0]
                if several and first not in told_of:
                    told_of.add(first)
                    self._out(f"[{self.titles[first]}]\n")
                self._out(texts[first])
                texts[first] = ""
                if first not in figures:
                    break
                self._out("\n" if len(waiting) == 1 or not several else "\n\n")
                note(f"  {figures[first]}")
                waiting.pop(0)

    def values(self, question: str) -> list[dict[str, Any]]:
        """The answers for programs, in the order of the sides."""
        for _ in self.answers(question):
            pass
        told = []
        for name, answer in self.dialogue.turns[-1].answers.items():
            figures = {key: value for key, value in (answer.figures or {}).items() if key not in ("number", "side")}
            told.append({"side": name, "title": self.titles[name], "prompt": question, "answer": answer.text} | figures)
        return told

    def close(self) -> None:
        self.worker.close()
        self._messages.close()

    def _out(self, text: str) -> None:
        sys.stdout.write(printable(text) if self._is_drawn else text)
        sys.stdout.flush()


def note(text: str) -> None:
    """A word to a person who looks on."""
    if sys.stderr.isatty():
        sys.stderr.write(printable(text) + "\n")


def say(text: str) -> None:
    """A line on stdout, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def answer_all(talk: Talk, questions: Sequence[str], *, as_json: bool) -> int:
    """Each question in turn, in one conversation."""
    talk.load()
    for number, question in enumerate(questions):
        if as_json:
            for value in talk.values(question):
                say(json.dumps(value))
            continue
        if len(questions) > 1:
            say(("\n" if number else "") + printable(f"> {question}"))
        talk.write(question)
    return 0


def converse(talk: Talk) -> int:
    """Ask line by line until Ctrl-D. Ctrl-C ends an answer. Raises what the worker ended with."""
    talk.load()
    say(f"Talking to {printable(' and '.join(talk.titles.values()))}. /help lists commands, Ctrl-D leaves.")
    while True:
        try:
            question = input("> ").strip()
        except EOFError:
            say("")
            return 0
        except KeyboardInterrupt:
            say("\nCtrl-D or /quit leaves.")
            continue
        if question == "/quit":
            return 0
        if question.startswith("/"):
            obey(talk, question)
        elif question:
            try:
                talk.write(question)
            except KeyboardInterrupt:
                say("\n(stopped)")
                drain(talk)
            except FinetuiError as fault:
                if not talk.worker.is_alive:
                    raise
                say(printable(str(fault)))


def drain(talk: Talk) -> None:
    """Read up to the end of the answer that was stopped."""
    for told in talk._messages:
        if told.get("done") or "error" in told:
            return


def obey(talk: Talk, command: str) -> None:
    """One of `COMMANDS`."""
    word, _, rest = command.partition(" ")
    rest = rest.strip()
    if word == "/new":
        talk.dialogue.turns.clear()
        say("A new conversation.")
    elif word == "/system":
        if rest:
            talk.dialogue.system = "" if rest == "-" else rest
        say(f"system: {printable(talk.dialogue.system) or '(none)'}")
    elif word == "/side" and (rest == "all" or rest in talk.titles):
        talk.asked = list(talk.titles) if rest == "all" else [rest]
        say(f"Answers: {', '.join(talk.asked)}")
    elif word == "/side":
        say(f"There are: {', '.join(talk.titles)}, all")
    else:
        say("\n".join(f"{name:<14} {what}" for name, what in COMMANDS.items()))
