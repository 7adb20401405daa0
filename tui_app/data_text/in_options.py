"""An error of `data`, which speaks of a recipe's fields, in the words of a command line.

Not here: what is asked on a terminal (`data_options/asking`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from data.errors import DataError
from data.understanding.undecided import SwappedColumnError

OPTIONS = {
    "data.dataset": "ROWS",
    "data.columns": "--column",
    "data.template": "--template",
    "data.format": "--format",
    "data.system": "--system",
    "data.subset": "--subset",
    "data.split": "--split",
    "data.revision": "--revision",
    "data.generator_rows": "--generator-rows",
    "data.max_rows": "--max-rows",
}
"""A field of a recipe and what stands for it in `finetui data`."""
_OF_COMMANDS = {"generate": {"data.generator_rows": "--rows"}}
_PHRASES = (
    (" in the recipe", ""),
    ("or under [data] set columns or a template for", "or give --column or --template for"),
    (r'template = "Task: {text}\nSolution: {code}"', r"--template 'Task: {text}\nSolution: {code}'"),
)
_FIELD = re.compile(rf"""(?<![\w./'"-])({"|".join(map(re.escape, OPTIONS))})(?![\w/'"]|\.\w)( = (?=['"]))?""")


def in_options(error: DataError, command: str = "") -> DataError:
    """The same error, changed in place where it speaks of fields or lines of a recipe; names in quotes stay.

    `command` is that of `finetui data` whose options are meant.
    """
    own = OPTIONS | _OF_COMMANDS.get(command, {})
    if isinstance(error, SwappedColumnError):
        error.remedy = error.remedy_in_options
    error.happened, error.means, error.remedy = (
        _said(text, own) for text in (error.happened, error.means, error.remedy)
    )
    return error


def _said(text: str, options: Mapping[str, str]) -> str:
    told = _FIELD.sub(lambda found: options[found[1]] + (" " if found[2] else ""), text)
    if told == text and not any(old in text for old, _ in _PHRASES[1:]):
        return text
    for old, new in _PHRASES:
        told = told.replace(old, new)
    return told
