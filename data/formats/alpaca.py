"""instruction, an optional input, output, an optional system prompt.

    {"instruction": "Translate to French.", "input": "Good morning", "output": "Bonjour"}

An input follows the instruction after an empty line. "response" is read as another name for "output" (WizardLM,
Magicoder), and beside an instruction "context" as another name for "input" (Dolly).
"""

from __future__ import annotations

from typing import Any

from data.conversation import Conversation, Example
from data.rows import Row
from data.understanding.pairs import SYSTEM, converted_pair, pair_in, row_of_pair

EXAMPLE = {"instruction": "Translate to French.", "input": "Good morning", "output": "Bonjour"}
DEPTH = 1
_PAIRS = (("instruction", "output"), ("instruction", "response"))
COLUMNS = ("instruction", "input", "context", "output", "response", *SYSTEM)


def matches(row: Row) -> bool:
    """Has an instruction and either name of the output."""
    return pair_in(row, _PAIRS) is not None


def convert(row: Row, line: int) -> Conversation:
    """instruction (and input) -> user, output -> assistant."""
    return converted_pair(row, line, _PAIRS, "input" if "input" in row else "context")


def row_of(example: Example) -> dict[str, Any]:
    """The whole request is the instruction; the input stays empty."""
    row = row_of_pair(example, _PAIRS[0], "alpaca")
    system = {"system": row["system"]} if "system" in row else {}
    return {**system, "instruction": row["instruction"], "input": "", "output": row["output"]}
