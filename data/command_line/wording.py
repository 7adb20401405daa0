"""How people ask for a command: the grammar's own phrases, or words made from its help texts and names.

A phrase is a line in which `[a|b|]` stands for one of its alternatives and `<name>` for a value, copied letter by
letter; `<value>` is the option's own. A phrase for a command that begins with "?" is a question already. Around a
command's phrase stand polite, terse, imperative or questioning words.
"""

from __future__ import annotations

import random
import re

from data.chance import below, one_of
from data.command_line.grammar import Command, Grammar, Option
from data.command_line.sampling import Chosen

FRAMES = (
    *("{}", "{}", "{}", "please {}", "{}, please", "can you {}?", "could you {}?", "would you {}, please?"),
    *("I want to {}", "I need to {}", "I'd like to {}", "help me {}", "how do I {}?", "how can I {}?"),
    *("what is the command to {}?", "which command do I need to {}?", "give me the {program} command to {}"),
    *("use {program} to {}", "with {program}, {}"),
)
QUESTION_FRAMES = ("{}?", "hey, {}?", "quick question: {}?", "tell me, {}?", "just checking: {}?")
TERSE = 0.1
"""Share of the requests for a command without phrases of its own that only name it and its values."""

_ALTERNATIVES = re.compile(r"\[([^\]\[]*)\]")
_VALUE = re.compile(r"<([^<>]+)>")
_BARE = {
    word: verb
    for verb in (
        *("add", "apply", "build", "change", "check", "clean", "clear", "configure", "convert", "copy", "create"),
        *("delete", "display", "edit", "export", "fetch", "find", "generate", "get", "give", "import", "initialize"),
        *("install", "list", "load", "make", "manage", "merge", "move", "open", "print", "push", "pull", "read"),
        *("register", "remove", "rename", "reset", "restart", "return", "run", "save", "search", "send", "set"),
        *("show", "start", "stop", "switch", "test", "undo", "uninstall", "update", "upgrade", "upload", "verify"),
        *("wait", "write"),
    )
    for word in (f"{verb}s", f"{verb}es", f"{verb[:-1]}ies")
}
_TYPED_WORD = re.compile(r"[A-Za-z]{5,}")


def request(grammar: Grammar, one: Chosen, chance: random.Random, typo: bool = False) -> str:
    """Words that ask for exactly this command; `typo` swaps two letters of one word that is no value."""
    shared = [other.name for other in grammar.commands if other.help == one.command.help and other.help]
    core, placed = _core(grammar, one.command, len(shared) > 1, chance)
    values = {positional.name: " and ".join(given) for positional, given in one.positionals}
    parts = [_filled(core, values, "", chance)]
    for positional, given in one.positionals:
        if positional.name not in placed:
            phrase = one_of(positional.phrases or _positional_phrases(positional.name), chance)
            parts.append(_filled(phrase, values, " and ".join(given), chance))
    for option, given in (*one.options, *one.program_options):
        phrase = one_of(option.phrases or _option_phrases(option, bool(given)), chance)
        if not given:
            phrase = re.sub(r"\s*:?\s*<value>", "", phrase)
        parts.append(_filled(phrase, values, " and ".join(given), chance))
    joined: list[tuple[str, bool]] = []
    for part in parts:
        joined += [(" ", False), *part] if joined else part
    asks = core.startswith("?")
    frame = one_of(QUESTION_FRAMES if asks else FRAMES, chance).replace("{program}", grammar.program)
    before, after = frame.split("{}")
    pieces = _collapsed([(before, False), *joined, (after, False)])
    if typo:
        pieces = _mistyped(pieces, chance)
    text = "".join(piece for piece, _ in pieces).strip()
    if chance.random() < 0.5 and not pieces[0][1]:
        text = text[0].upper() + text[1:]
    return text


def verb_phrase(help_text: str) -> str:
    """A help text as an order: "Shows the status." -> "show the status"."""
    sentence = re.split(r"(?<=\w)[.;:](?:\s|$)|\s\(|\n", help_text.strip(), maxsplit=1)[0].strip().rstrip(".")
    first, space, rest = sentence.partition(" ")
    if first[1:].lower() != first[1:]:
        return sentence
    verb = first.lower()
    if rest and first[0].isupper() and verb.endswith("s") and not verb.endswith(("ss", "us", "is")):
        verb = _BARE.get(verb, verb[:-1])
    return f"{verb}{space}{rest}"


def _core(grammar: Grammar, command: Command, is_shared: bool, chance: random.Random) -> tuple[str, set[str]]:
    """A phrase for the command, and the positional arguments that it names itself."""
    if command.phrases:
        phrase = one_of(command.phrases, chance)
        return phrase, set(_VALUE.findall(phrase))
    name = f"{grammar.program} {command.name}".strip()
    if not command.help or not command.name or chance.random() < TERSE:
        return one_of((f"run {name}", f"use {name}"), chance), set()
    phrase = _literal(verb_phrase(command.help))
    return (f"{phrase} with {name}" if is_shared else phrase), set()


def _literal(text: str) -> str:
    """Text of a program, in which brackets mean nothing of ours."""
    return re.sub(r"[\[\]<>|]", "", text)


def _positional_phrases(name: str) -> tuple[str, ...]:
    words = _words_of(name)
    return (f"with {words} <value>", f"for the {words} <value>", f"where the {words} is <value>", f"({words}: <value>)")


def _option_phrases(option: Option, has_value: bool) -> tuple[str, ...]:
    words = _words_of(option.long) if len(option.long) > 2 else option.long
    if has_value:
        return (
            f"with {words} <value>",
            f"with the {words} set to <value>",
            f"and set {words} to <value>",
            f"using {words} <value>",
        )
    if option.long.startswith("--no-"):
        return (f"without {_words_of(option.long[5:])}", f"with no {_words_of(option.long[5:])}")
    told = verb_phrase(_literal(option.help))
    spoken = (f"and {told}",) if told and len(told.split()) <= 7 else ()
    if len(option.long.lstrip("-")) == 1:
        return spoken or (f"with {option.long}",)
    return (f"with {words}", f"with the {words} option", f"using {words}", *spoken)


def _words_of(name: str) -> str:
    return _literal(re.sub(r"[-_.]+", " ", name.strip("-")).strip()) or name


def _filled(phrase: str, values: dict[str, str], own: str, chance: random.Random) -> list[tuple[str, bool]]:
    """The phrase with its alternatives chosen and its values in place, as pieces."""

    def alternative(match: re.Match[str]) -> str:
        return str(one_of(match[1].split("|"), chance))

    pieces: list[tuple[str, bool]] = []
    text = _ALTERNATIVES.sub(alternative, phrase.removeprefix("?"))
    place = 0
    for match in _VALUE.finditer(text):
        value = own if match[1] == "value" else values.get(match[1], "")
        pieces += [(text[place : match.start()], False), (value, True)]
        place = match.end()
    return [*pieces, (text[place:], False)]


def _collapsed(pieces: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """White space between words made single, also where a piece is empty."""
    kept: list[tuple[str, bool]] = []
    for text, is_value in pieces:
        one = text if is_value else re.sub(r"\s+", " ", text)
        if not is_value and (not kept or kept[-1][0].endswith(" ")):
            one = one.lstrip(" ")
        if one:
            kept.append((one, is_value))
    return kept


def _mistyped(pieces: list[tuple[str, bool]], chance: random.Random) -> list[tuple[str, bool]]:
    """Two neighbouring letters inside one longer word swapped; unchanged where no word is long enough."""
    found = [
        (number, match)
        for number, (text, is_value) in enumerate(pieces)
        if not is_value
        for match in _TYPED_WORD.finditer(text)
    ]
    if not found:
        return pieces
    number, match = one_of(found, chance)
    place = match.start() + 1 + below(len(match[0]) - 3, chance)
    text = pieces[number][0]
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    return [*pieces[:number], (swapped, False), *pieces[number + 1 :]]
