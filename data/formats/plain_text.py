"""text and no column that could be an answer, for continued pretraining: all of it is trained.

{"text": "The lighthouse stood at the end of the pier."}
"""

from __future__ import annotations

from typing import Any

from data.conversation import Example, PlainText
from data.rows import Row, RowProblem, text_of

EXAMPLE = {"text": "The lighthouse stood at the end of the pier."}
DEPTH = 0
COLUMNS = ("text",)

# Columns that describe a text. Any other column may be the answer to it (a label, some code), and training on the
# text alone would then be wrong in silence: such rows are plain text only when the recipe says so.
DESCRIPTIVE = {
    *("id", "idx", "index", "title", "url", "source", "file_path", "dump", "license", "meta", "metadata"),
    *("date", "timestamp", "lang", "language", "language_score", "token_count", "score", "int_score", "added"),
    *("created", "author", "path", "filename", "doc_id", "warc_date", "crawl", "subset"),
}


def matches(row: Row) -> bool:
    """Has a text, and nothing beside it that could be an answer."""
    return "text" in row and all(column == "text" or column in DESCRIPTIVE for column in row)


def convert(row: Row, line: int) -> PlainText:
    """The text as it stands."""
    return PlainText(text_of(row, "text"), line)


def row_of(example: Example) -> dict[str, Any]:
    """The text as it stands."""
    if not isinstance(example, PlainText):
        raise RowProblem("it is a conversation, and plain_text would lose who says what")
    return {"text": text_of({"text": example.text}, "text")}
