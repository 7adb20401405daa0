"""Rows of three shapes, made of the standard library's docstrings: mixed lengths, all alike, all at max_length.

The same Python gives the same rows; another may have other docstrings. Chats of one question and one answer.
"""

from __future__ import annotations

import ast
import functools
import json
import random
import sysconfig
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

SHAPES = ("mixed", "uniform", "full")
SEED = 7
SHORTEST = 60
"""Characters; what is shorter says nothing."""
UNIFORM_CHARACTERS = 230
"""With the question and the template around it about 100 tokens of SmolLM2."""


def write_rows(folder: Path, shape: str, num_rows: int, num_held_out: int, max_length: int) -> tuple[Path, Path]:
    """Files of training and held-out chats. Raises ValueError for an unknown shape."""
    docstrings = list(_docstrings())
    random.Random(SEED).shuffle(docstrings)
    chats = _chats(docstrings, shape, max_length)
    files = folder / "train.jsonl", folder / "held_out.jsonl"
    for path, count in zip(files, (num_rows, num_held_out), strict=True):
        path.write_text("".join(f"{json.dumps(chat)}\n" for chat in islice(chats, count)), encoding="utf-8")
    return files


def _chats(docstrings: list[tuple[str, str]], shape: str, max_length: int) -> Iterator[dict[str, object]]:
    if shape == "mixed":
        pairs: Iterator[tuple[str, str]] = iter(docstrings)
    elif shape == "uniform":
        pairs = ((name, text[:UNIFORM_CHARACTERS]) for name, text in docstrings if len(text) >= UNIFORM_CHARACTERS)
    elif shape == "full":
        texts = cycle(text for _, text in docstrings)
        pairs = ((name, _stretched(texts, 6 * max_length)) for name, _ in docstrings)
    else:
        raise ValueError(f"shape must be one of {', '.join(SHAPES)}, not {shape!r}")
    for name, text in pairs:
        asked = {"role": "user", "content": f"What does Python's {name} do?"}
        yield {"messages": [asked, {"role": "assistant", "content": text}]}


def _stretched(texts: Iterator[str], num_characters: int) -> str:
    text = ""
    while len(text) < num_characters:
        text += next(texts) + "\n\n"
    return text


@functools.cache
def _docstrings() -> tuple[tuple[str, str], ...]:
    """(dotted name, docstring) of the public functions and classes of the standard library, each text once."""
    found: dict[str, str] = {}
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            text = ast.get_docstring(node) or ""
            if len(text) >= SHORTEST:
                found.setdefault(text, f"{path.stem}.{node.name}")
    return tuple((name, text) for text, name in found.items())
