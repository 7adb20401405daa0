"""What columns of unknown names may mean, by their names and by the length of what stands in them; only ever proposed.

Telling a known format is in `detection`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data.conversation import Example
from data.formats import RowProblem, all_formats, format_named
from data.rows import Row
from data.understanding.template import parse_template, renamed
from data.understanding.turns import turns_in
from data.understanding.undecided import Proposal

SAMPLED = 200
MOST = 3
"""So many proposals at most."""
_MOST_FIELDS = 6
_REQUEST_WORDS = {
    *("question", "query", "prompt", "instruction", "input", "request", "problem", "task", "user", "human", "ask"),
    *("q", "source", "context", "frage", "anfrage", "aufgabe", "pregunta", "consulta", "domanda", "entrada"),
    *("pergunta", "вопрос", "запрос", "问题", "質問"),
}
_ANSWER_WORDS = {
    *("answer", "completion", "output", "response", "reply", "solution", "result", "target", "label", "code", "a"),
    *("story", "summary", "assistant", "bot", "gpt", "sql", "command", "translation", "category", "class"),
    *(
        "antwort",
        "lösung",
        "respuesta",
        "réponse",
        "reponse",
        "risposta",
        "resposta",
        "salida",
        "ответ",
        "答案",
        "回答",
    ),
}
_NAMELESS = {
    *("id", "uuid", "index", "idx", "url", "hash", "date", "timestamp", "created", "updated", "license", "lang"),
    "language",
}

# Dates and times, e-mail addresses, links, UUIDs and hashes, and numbers with letters about them: "KD-00123", "4711/b".
_MARK = re.compile(
    r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?:[T ,]+\d{1,2}:\d{2}\S*)?|\d{1,2}:\d{2}(?::\d{2})?|\S+@\S+\.\w+|https?://\S+|"
    r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-f]{16,64}|[^\W\d]{0,6}[-_#/]?\d[\d.,/-]*(?:[-_/]?[^\W\d]{1,2})?"
)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the sample: the shares of rows (0-1) with a text that is no number, with text or number, and with
    turns; the share of the texts that are dates or identifiers; the texts'
    mean length in characters and how many of them differ (0-1); what its name resembles."""

    name: str
    share_text: float
    share_scalar: float
    share_turns: float
    share_marks: float
    mean_length: float
    share_distinct: float
    asks: float
    answers: float


def guesses(rows: Sequence[Row]) -> list[Proposal]:
    """What the rows may mean, the likeliest first, at most `MOST`. Column names are those of the given rows."""
    sample = rows[:SAMPLED]
    respelled = _respelled(sample)
    if respelled is not None:
        return [respelled]
    columns = [_described(name, sample) for name in dict.fromkeys(name for row in sample for name in row)]
    turns = [Proposal(columns={"messages": one.name}) for one in columns if one.share_turns >= 0.5]
    texts = [
        one for one in columns if one.share_turns < 0.5 and one.share_text >= 0.5 and (one.asks >= 0 or one.answers > 0)
    ]
    telling = [one for one in texts if one.share_marks < 0.5]
    found = turns + _pairs(telling if len(telling) > 1 else texts)
    found = found or _template(columns)
    if not found and len(texts) == 1:
        found = [Proposal("plain_text", {} if texts[0].name == "text" else {"text": texts[0].name})]
    return [with_example(each, sample) for each in found[:MOST]]


def with_example(proposal: Proposal, rows: Sequence[Row]) -> Proposal:
    """The proposal with the first row that it makes something of."""
    for row in rows:
        try:
            example = _understood(proposal, renamed(row, proposal.columns))
        except RowProblem:
            continue
        if example is not None:
            said = [_short(text) for text in (example.request, example.answer) if text]
            return Proposal(proposal.format, proposal.columns, proposal.template, " -> ".join(said))
    return proposal


def _understood(proposal: Proposal, row: Row) -> Example | None:
    if proposal.template is not None:
        return parse_template(proposal.template).convert(row, 1)
    if proposal.format is not None:
        return format_named(proposal.format).convert(row, 1)
    fitting = [module for module in all_formats().values() if module.matches(row)]
    return max(fitting, key=lambda module: module.DEPTH).convert(row, 1) if fitting else None


def composed(proposal: Proposal, given: Mapping[str, str]) -> Proposal:
    """The proposal in the file's own names, where `given` had renamed columns already."""
    columns = {new: given.get(old, old) for new, old in proposal.columns.items()}
    kept = given if proposal.template is not None or not columns else {}
    return Proposal(proposal.format, {**kept, **columns}, proposal.template, proposal.example)


def _respelled(rows: Sequence[Row]) -> Proposal | None:
    """Columns that are those of a format but for case and white space: "Instruction", "output "."""
    names = dict.fromkeys(name for row in rows for name in row)
    simple = {name: re.sub(r"[\s\-]+", "_", name.strip().casefold()) for name in names}
    other = {new: old for old, new in simple.items() if new != old and new not in names}
    for module in sorted(all_formats().values(), key=lambda one: -one.DEPTH):
        columns = {new: old for new, old in other.items() if new in module.COLUMNS}
        if columns and any(module.matches(renamed(row, columns)) for row in rows):
            return with_example(Proposal(columns=columns), rows)
    return None


def _described(name: str, rows: Sequence[Row]) -> _Column:
    values = [row.get(name) for row in rows]
    texts = [value for value in values if isinstance(value, str) and value.strip() and not _is_number(value)]
    scalars = [value for value in values if isinstance(value, str | int | float) and value != ""]
    turns = [value for value in values if _are_turns(value)]
    words = {word.casefold() for word in re.findall(r"[^\W\d_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name))}
    return _Column(
        name=name,
        share_text=len(texts) / len(rows),
        share_scalar=len(scalars) / len(rows),
        share_turns=len(turns) / len(rows),
        share_marks=sum(_MARK.fullmatch(text.strip()) is not None for text in texts) / len(texts) if texts else 0.0,
        mean_length=sum(map(len, texts)) / len(texts) if texts else 0.0,
        share_distinct=len(set(texts)) / len(texts) if texts else 0.0,
        asks=_likeness(words, _REQUEST_WORDS),
        answers=_likeness(words, _ANSWER_WORDS),
    )


def _are_turns(value: object) -> bool:
    return any(isinstance(turn, dict) and ("role" in turn or "from" in turn) for turn in turns_in(value) or ())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _likeness(words: set[str], known: set[str]) -> float:
    """2 where the name holds one of the words, 1 where it holds a misspelled one, below 0 for an identifier's name."""
    from difflib import get_close_matches

    if words & known:
        return 2.0
    if words & _NAMELESS:
        return -2.0
    # Short words resemble one another by chance.
    long = [one for one in known if len(one) >= 5]
    return 1.0 if any(len(word) >= 5 and get_close_matches(word, long, 1, 0.8) for word in words) else 0.0


def _pairs(texts: Sequence[_Column]) -> list[Proposal]:
    scored = []
    for place, asked in enumerate(texts):
        for other, answered in enumerate(texts):
            if other == place or asked.asks < 0 or answered.answers < 0:
                continue
            score = asked.asks + answered.answers - (asked.answers + answered.asks) / 2
            score += 0.4 * (place < other) + 0.3 * (answered.mean_length >= asked.mean_length)
            score += 0.3 * asked.share_distinct
            scored.append((score, asked.name, answered.name))
    scored.sort(key=lambda one: -one[0])
    return [
        Proposal(columns={"prompt": asked, "completion": answered})
        for score, asked, answered in scored[:MOST]
        if score >= scored[0][0] - 1.5
    ]


def _template(columns: Sequence[_Column]) -> list[Proposal]:
    """A table of numbers and labels, put into words: the column with an answer's name last, or the last one."""
    plain = [one for one in columns if one.share_scalar >= 0.5 and _fits_a_template(one.name)]
    plain = [one for one in plain if one.asks >= 0 or one.answers > 0]
    if len(plain) < 2:
        return []
    answer = max(enumerate(plain), key=lambda placed: (placed[1].answers, placed[0]))[1]
    asked = [one.name for one in plain if one is not answer][:_MOST_FIELDS]
    words = "\n".join(f"{name}: {{{name}}}" for name in asked)
    return [Proposal(template=f"{words}\n{answer.name}: {{{answer.name}}}")]


def _fits_a_template(name: str) -> bool:
    return name.isprintable() and name != "" and not set("{}") & set(name)


def _short(text: str, most: int = 36) -> str:
    one = " ".join(text.split())
    return one if len(one) <= most else f"{one[: most - 1]}…"
