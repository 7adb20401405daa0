"""The part of Go's template language that `go_template` writes, evaluated: what Ollama will make of a conversation.

Actions: range with index over .Messages, variables, if / else if / else, strings, .Role, .Content, $.System, .Prompt,
and the functions eq, and, not, len, slice; trim markers as in Go's text/template. Anything else is refused: this is no
general interpreter.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data.conversation import Message

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ACTION = re.compile(
    rf"(?:\s+(?=\{{\{{- ))?\{{\{{(?:- )?((?:{_QUOTED}|[^\"])*?)(?P<trims> -)?\}}\}}(?(trims)\s*)", re.DOTALL
)
_WORD = re.compile(rf"\s*({_QUOTED}|:=|[(),]|[$.\w]+)")


@dataclass(slots=True)
class _Node:
    """One action, or a literal text (`words` empty); `body` and `otherwise` where it has them."""

    words: list[str]
    text: str = ""
    body: list[_Node] = field(default_factory=list)
    otherwise: list[_Node] = field(default_factory=list)


def evaluate(template: str, messages: Sequence[Message]) -> str:
    """The prompt that a TEMPLATE makes of messages. Raises ValueError for what is outside the part known here."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    prompt = messages[-1].content if messages else ""
    data = {"Messages": list(messages), "System": system, "Prompt": prompt}
    return _run(_parse(_pieces(template)), data, {"$": data})


def _pieces(template: str) -> list[str | list[str]]:
    """Literal texts, and actions as lists of words."""
    found: list[str | list[str]] = []
    done = 0
    for match in _ACTION.finditer(template):
        if match.start() > done:
            found.append(template[done : match.start()])
        found.append(_words(match[1]))
        done = match.end()
    return [*found, template[done:]] if done < len(template) else found


def _words(action: str) -> list[str]:
    words, at, action = [], 0, action.rstrip()
    while at < len(action):
        match = _WORD.match(action, at)
        if match is None:
            raise ValueError(f"an action that is not known here: {action}")
        words.append(match[1])
        at = match.end()
    return words


def _parse(pieces: Sequence[str | list[str]]) -> list[_Node]:
    root: list[_Node] = []
    stack: list[tuple[list[_Node], int]] = []
    into, opened = root, 0
    for piece in pieces:
        if isinstance(piece, str):
            into.append(_Node([], piece))
        elif piece[0] in ("if", "range"):
            node = _Node(piece)
            into.append(node)
            stack.append((into, opened))
            into, opened = node.body, 1
        elif piece[0] == "else":
            node = stack[-1][0][-1]
            for _ in range(opened - 1):
                node = node.otherwise[-1]
            into = node.otherwise
            if len(piece) > 1:
                into.append(_Node(piece[1:]))
                into, opened = into[-1].body, opened + 1
        elif piece[0] == "end":
            into, opened = stack.pop()
        else:
            into.append(_Node(piece))
    if stack:
        raise ValueError("an if or range without its end")
    return root


def _run(nodes: Sequence[_Node], dot: Any, names: dict[str, Any]) -> str:
    made = []
    for node in nodes:
        words = node.words
        if not words:
            made.append(node.text)
        elif words[0] == "range":
            _, index, _, element, _, *what = words
            for place, each in enumerate(_value(what, dot, names)):
                made.append(_run(node.body, each, {**names, index: place, element: each}))
        elif words[0] == "if":
            made.append(_run(node.body if _value(words[1:], dot, names) else node.otherwise, dot, dict(names)))
        elif words[1:2] == [":="]:
            names[words[0]] = _value(words[2:], dot, names)
        else:
            made.append(str(_value(words, dot, names)))
    return "".join(made)


def _value(words: Sequence[str], dot: Any, names: Mapping[str, Any]) -> Any:
    """The value of an expression: one operand, or a function with its operands."""
    rest = list(words)
    values = []
    while rest:
        values.append(_operand(rest, dot, names))
    function, *operands = values
    if not operands:
        return function
    if function == _Function("eq"):
        return operands[0] == operands[1]
    if function == _Function("and"):
        return next((each for each in operands if not each), operands[-1])
    if function == _Function("not"):
        return not operands[0]
    if function == _Function("len"):
        return len(operands[0])
    if function == _Function("slice"):
        return operands[0][operands[1] :]
    raise ValueError(f"a function that is not known here: {words[0]}")


@dataclass(frozen=True, slots=True)
class _Function:
    name: str


def _operand(rest: list[str], dot: Any, names: Mapping[str, Any]) -> Any:
    word = rest.pop(0)
    if word == "(":
        depth, inner = 1, []
        while depth:
            each = rest.pop(0)
            depth += {"(": 1, ")": -1}.get(each, 0)
            inner.append(each)
        return _value(inner[:-1], dot, names)
    if word.startswith('"'):
        return ast.literal_eval(word)
    if word.isdigit():
        return int(word)
    if word in names:
        return names[word]
    if word.startswith("$."):
        return names["$"][word[2:]]
    if word.startswith("."):
        name = word[1:]
        return dot[name] if isinstance(dot, Mapping) else getattr(dot, name.lower())
    return _Function(word)
