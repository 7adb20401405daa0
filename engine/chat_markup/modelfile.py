"""Ollama's Modelfile: composed, and read again as Ollama's parser reads it. Texts in three double quotes.

Source of the form: docs/modelfile.md and parser/parser.go of github.com/ollama/ollama.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.errors import ModelError

_QUOTES = '"""'


@dataclass(frozen=True, slots=True)
class Modelfile:
    """`parameters` are (name, value) in order, `stop` more than once; `comment` stands at the top, line by line."""

    model: str
    template: str
    system: str | None
    parameters: tuple[tuple[str, str], ...]
    licence: str | None
    comment: tuple[str, ...] = ()

    def text(self) -> str:
        """The file. Raises ModelError for a text that its quotes cannot hold."""
        parts = [*(f"# {line}" for line in self.comment), f"FROM {self.model}", ""]
        parts += [f"TEMPLATE {_quoted('template', self.template)}", ""]
        if self.system:
            parts += [f"SYSTEM {_quoted('system text', self.system)}", ""]
        parts += [f"PARAMETER {name} {_value(name, value)}" for name, value in self.parameters]
        if self.licence:
            parts += ["", f"LICENSE {_quoted('licence', self.licence)}"]
        return "\n".join(parts) + "\n"


def can_hold(text: str) -> bool:
    """Whether a Modelfile has a way to write a text."""
    return f"{_QUOTES}\n" not in text and "\r" not in text


def _quoted(what: str, text: str) -> str:
    if not can_hold(text):
        raise ModelError(
            f"The {what} holds three double quotes at the end of a line, or a carriage return.",
            means="A Modelfile has no way to write them inside a text.",
            remedy="Change the text (the system text is data.system of the recipe), or serve the GGUF file directly.",
        )
    return f"{_QUOTES}{text}{_QUOTES}"


def _value(name: str, value: str) -> str:
    if name != "stop":
        return value
    if '"' in value or "\n" in value:
        raise ModelError(
            f"The token {value!r} ends an answer, and a Modelfile cannot name it.",
            means="Without it Ollama would not know where an answer ends.",
            remedy="Serve the GGUF file directly with llama.cpp.",
        )
    return f'"{value}"'


def read(text: str) -> Modelfile:
    """The same again. Raises ValueError for a line that is no instruction."""
    found: dict[str, str] = {}
    parameters: list[tuple[str, str]] = []
    comment: list[str] = []
    at = 0
    pattern = re.compile(r'(\w+) (?:"""(.*?)"""(?=\n|\Z)|([^\n]*))\n?', re.DOTALL)
    while at < len(text):
        if text[at] == "\n":
            at += 1
            continue
        if text[at] == "#":
            line, _, _ = text[at:].partition("\n")
            comment.append(line.removeprefix("#").strip())
            at += len(line)
            continue
        match = pattern.match(text, at)
        if match is None:
            raise ValueError(f"no instruction: {text[at : at + 40]!r}")
        value = match[2] if match[2] is not None else match[3].strip()
        if match[1] == "PARAMETER":
            name, _, value = value.partition(" ")
            parameters.append((name, value.strip('"') if name == "stop" else value))
        else:
            found[match[1]] = value
        at = match.end()
    return Modelfile(
        found["FROM"],
        found["TEMPLATE"],
        found.get("SYSTEM"),
        tuple(parameters),
        found.get("LICENSE"),
        tuple(comment),
    )
