"""A document as Markdown that GitHub renders; texts of the run are escaped, so none of them is obeyed."""

from __future__ import annotations

import re

from engine.report.document import Block, Bullets, Code, Document, Figure, Paragraph, Table, one_line, visible

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~!@$&])")
_AT_START = re.compile(r"^(\s*)([-+=])(?=[\s=-]|$)|^(\s*\d+)([.)])(?=\s|$)")
_LINK = re.compile(r"(https?|ftp)://|www\.", re.IGNORECASE)
TONES = {"good": "✅ ", "note": "ℹ️ ", "warning": "⚠️ ", "bad": "❌ "}


def markdown(document: Document) -> str:
    """The whole document, ending with a line break."""
    parts = [f"# {escaped(document.title)}", escaped(document.subtitle)]
    for section in document.sections:
        parts += [f"## {escaped(section.title)}", *map(_block, section.blocks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """One line in which no character means anything to Markdown, and no address becomes a link."""
    line = _AT_START.sub(r"\1\3\\\2\4", _MARKUP.sub(r"\\\1", one_line(text)))
    return _LINK.sub(lambda match: match[0][:-1] + "&#8203;" + match[0][-1], line)


def fenced(text: str) -> str:
    """A block of code whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{visible(text)}\n{fence}"


def _block(block: Block) -> str:
    match block:
        case Paragraph(text, tone):
            return TONES.get(tone, "") + escaped(text)
        case Bullets(items):
            return "\n".join(f"- {escaped(item)}" for item in items)
        case Code(label, text):
            return f"{escaped(label)}\n\n{fenced(text)}"
        case Figure(name, alt):
            return f"![{escaped(alt)}]({name}.svg)"
        case Table():
            return _table(block)


def _table(table: Table) -> str:
    lines = [table.columns, tuple("---" for _ in table.columns)]
    head = ["| " + " | ".join(map(escaped, lines[0])) + " |", "| " + " | ".join(lines[1]) + " |"]
    body = ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in table.rows]
    return "\n".join([f"**{escaped(table.caption)}**", "", *head, *body])
