"""A report before it is Markdown or HTML: sections of plain blocks. All texts are literal, none is markup."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str
    tone: str = ""
    """good, note, warning or bad; empty for plain text."""


@dataclass(frozen=True, slots=True)
class Table:
    """`caption` says what it shows; the first column names each row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Text as it stands, in a fixed-width font; `label` says what it is."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A curve: `name` is the stem of its files, `alt` says what it shows to whoever cannot see it."""

    name: str
    alt: str


@dataclass(frozen=True, slots=True)
class Bullets:
    items: tuple[str, ...]


Block = Paragraph | Table | Code | Figure | Bullets


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    title: str
    subtitle: str
    sections: tuple[Section, ...]


def visible(text: str) -> str:
    """A text in which every character can be seen: control characters become escapes, line breaks and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """The same on one line."""
    return visible(text).replace("\n", "\\n")
