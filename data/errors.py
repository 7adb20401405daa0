"""The root of finetui's error tree, and the error of this layer.

Every failure a user can meet is a `FinetuiError`: what happened, what it means here, what to do next, and
the exit code of the program that ends with it. The rest of the tree is drawn in `engine/errors.py`; it
starts here because `data` is the lowest layer.
"""

from __future__ import annotations

from typing import ClassVar


class FinetuiError(Exception):
    """A failure stated for the person who has to act on it.

    `happened`, `means` and `remedy` are plain sentences. None of them holds a secret or a traceback.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, happened: str, *, means: str = "", remedy: str = "") -> None:
        super().__init__(happened)
        self.happened = happened
        self.means = means
        self.remedy = remedy

    def __str__(self) -> str:
        return "\n".join(part for part in (self.happened, self.means, self.remedy) if part)


class DataError(FinetuiError):
    """Rows that cannot be read, recognised or trained on."""

    exit_code = 3
