"""What is made equal before two texts are compared: the steps of `evaluation.normalization`.

The steps are those of SQuAD's official evaluation (P. Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine
Comprehension of Text", 2016, `normalize_answer` of its script), and numbers. Whatever their order in the recipe, they
are done in this one. Not here: which part of an answer is compared (`scoring`).
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

SQUAD = ("lower_case", "punctuation", "articles", "white_space")
"""All that the SQuAD scores do."""
WHITE_SPACE = ("white_space",)

_NUMBER = re.compile(r"(?<![\w.,])([-+]?)(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?![\w]|[.,]\d)")
_ARTICLE = re.compile(r"\b(a|an|the)\b")


def normalised(text: str, steps: Iterable[str] = WHITE_SPACE) -> str:
    """`text` after the steps. Without any it is as it was."""
    chosen = frozenset(steps)
    if "lower_case" in chosen:
        text = text.lower()
    if "numbers" in chosen:
        text = _NUMBER.sub(_plain_number, text)
    if "punctuation" in chosen:
        text = _without_punctuation(text, keep_numbers="numbers" in chosen)
    if "articles" in chosen:
        text = _ARTICLE.sub(" ", text)
    return " ".join(text.split()) if "white_space" in chosen else text


def _plain_number(match: re.Match[str]) -> str:
    """1,200.50 and +1200.5 as 1200.5; -0 as 0."""
    sign, whole, fraction = match.groups()
    value = Decimal(whole.replace(",", "") + (fraction or ""))
    plain = f"{value:f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    plain = plain.lstrip("0") or "0"
    plain = f"0{plain}" if plain.startswith(".") else plain
    return f"-{plain}" if sign == "-" and value else plain


def _without_punctuation(text: str, *, keep_numbers: bool) -> str:
    """Without what ASCII or Unicode calls punctuation; the points and signs of numbers stay where they are kept."""
    kept: set[int] = set()
    if keep_numbers:
        kept = {place for match in _NUMBER.finditer(text) for place in range(match.start(), match.end())}
    return "".join(letter for place, letter in enumerate(text) if place in kept or not _is_punctuation(letter))


def _is_punctuation(letter: str) -> bool:
    return letter in string.punctuation or unicodedata.category(letter).startswith("P")
