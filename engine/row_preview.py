"""The first rows of a recipe as training will see them, and the receipt of all, before there is a run.

A worker process (`python -P -m engine.training.row_previewing`) reads, renders and counts; this module starts it, hands
out what it tells as it comes, and ends it. Nothing is downloaded or converted, nothing is kept on disk. Not here: the
rendering, and the lengths that a plan counts with (`row_counts`).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data.receipt import Receipt
from data.understanding.detection import Detection
from engine import errors
from engine.data_request import missing_rows
from engine.environment import looking_environment, worker_command
from engine.errors import DiedError, FinetuiError, ModelError
from engine.recipe import Recipe
from engine.row_counts import ending, tokenizer_place

MODULE = "engine.training.row_previewing"
NUM_ROWS = 3
WAIT_SECONDS = 90.0
"""An answer takes 5 s on an idle machine, 4 of them for imports, and several times as long on a busy one."""
UNTOKENIZED = "-"
"""In place of a model folder: rows without tokens."""

Piece = tuple[str, bool]
"""Some of a row's text, and whether it is trained."""


Token = tuple[int, str, bool]
"""A token's id, the text that it adds, and whether it is trained."""


@dataclass(frozen=True, slots=True)
class PreviewedRow:
    """One train row. Its pieces in order are its whole text, control tokens by their literal text.

    The first `num_pieces_kept` pieces are within the recipe's max_length, the others are cut off. `is_left_out`: the
    row is not trained on at all. Without a tokenizer the counts of tokens are None and nothing is cut. `tokens` is
    empty unless asked for; `refusal` says why the chat template cannot take the row, which then has no pieces.
    """

    line: int
    pieces: tuple[Piece, ...]
    num_pieces_kept: int
    num_tokens: int | None
    num_trained: int | None
    is_left_out: bool = False
    tokens: tuple[Token, ...] = ()
    refusal: str = ""

    @property
    def is_cut(self) -> bool:
        return self.num_pieces_kept < len(self.pieces)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PreviewedRow:
        pieces = tuple((str(text), bool(is_trained)) for text, is_trained in value["pieces"])
        tokens = tuple((int(token), str(text), bool(trained)) for token, text, trained in value["tokens"])
        return cls(**{**value, "pieces": pieces, "tokens": tokens})


@dataclass(frozen=True, slots=True)
class RowPreview:
    """What is known so far. `note` says in a sentence what is missing or left out and why; "" for nothing.

    `receipt` is None until the rows are counted, and where they cannot be; `lengths` come with it: how many train rows
    have so many tokens, before truncation.
    """

    rows: tuple[PreviewedRow, ...]
    receipt: Receipt | None
    detection: Detection | None
    note: str = ""
    lengths: tuple[tuple[int, int], ...] = ()

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> RowPreview:
        receipt, detection = value["receipt"], value["detection"]
        return cls(
            tuple(PreviewedRow.from_json(row) for row in value["rows"]),
            Receipt.from_json(receipt) if receipt else None,
            Detection(**detection) if detection else None,
            str(value["note"]),
            tuple((int(length), int(count)) for length, count in value.get("lengths", ())),
        )


class RowPreviewing:
    """One worker looking at the rows of a recipe whose existing paths are absolute.

    `previews` blocks and belongs in a thread; `cancel` may be called from any other, at any time.
    """

    def __init__(self, recipe: Recipe, base_dir: Path, num_rows: int = NUM_ROWS) -> None:
        self.recipe, self.base_dir, self.num_rows = recipe, base_dir, num_rows
        self.is_cancelled = False
        self._worker: subprocess.Popen[bytes] | None = None

    def previews(self, wait_seconds: float = WAIT_SECONDS) -> Iterator[RowPreview]:
        """First the rows untokenized, then as the model reads them, then with their receipt; no more once cancelled.

        Raises what the worker found wrong (DataError, ModelError, …), and DiedError where it ends without an answer.
        """
        if missing := missing_rows(self.recipe, self.base_dir):
            raise missing
        folder, why = tokenizer_or_reason(self.recipe, self.base_dir)
        last = RowPreview((), None, None)
        try:
            for told in self._answers(folder, time.monotonic() + wait_seconds):
                last = with_note(RowPreview.from_json(told), why)
                yield last
        except TimeoutError:
            yield with_note(last, f"Counting the rows took more than {wait_seconds:.0f} s, so it was ended.")

    def cancel(self) -> None:
        """End the worker, if one runs; `previews` ends soon after."""
        self.is_cancelled = True
        if self._worker is not None:
            self._worker.kill()

    def rows_from(self, model: Path, first_line: int, wait_seconds: float = WAIT_SECONDS) -> tuple[PreviewedRow, ...]:
        """The usable rows from a line on (counted on from file to file), as they stand there, token by token.

        `model` is a folder with a tokenizer or a .gguf file. Raises what `previews` raises.
        """
        try:
            *_, told = self._answers(model, time.monotonic() + wait_seconds, str(first_line))
        except TimeoutError:
            raise DiedError(
                f"Rendering the rows took more than {wait_seconds:.0f} s, so it was ended.",
                means="Nothing can be shown of them here.",
                remedy="Ask for fewer rows, or for rows further up in the file.",
            ) from None
        return RowPreview.from_json(told).rows

    def _answers(self, folder: Path | None, deadline: float, *more: str) -> Iterator[dict[str, Any]]:
        """What the worker tells, line by line. Raises TimeoutError at the deadline."""
        words = (str(folder or UNTOKENIZED), str(os.getpid()), str(self.num_rows), *more)
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(
                worker_command(MODULE, *words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=looking_environment(),
            ) as worker,
        ):
            self._worker = worker
            try:
                if not self.is_cancelled:
                    yield from self._told(worker, deadline)
                if self.is_cancelled or worker.wait() == 0:
                    return
            finally:
                worker.kill()
            said.seek(0)
            done = subprocess.CompletedProcess(worker.args, worker.returncode, b"", said.read())
        raise DiedError(
            f"The process that reads the rows {ending(done)}.",
            means="They cannot be shown here; a run may still be able to read them.",
            remedy="Try again; `finetui doctor` checks the libraries that it loads.",
        )

    def _told(self, worker: subprocess.Popen[bytes], deadline: float) -> Iterator[dict[str, Any]]:
        assert worker.stdin is not None
        assert worker.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it ended already; how, its exit code tells
            worker.stdin.write(self.recipe.to_toml().encode())
            worker.stdin.close()
        for line in lines_until(worker.stdout.fileno(), deadline):
            told: dict[str, Any] = json.loads(line)
            if error := told.get("error"):
                raise error_of(error)
            yield told


def row_preview(
    recipe: Recipe, base_dir: Path, num_rows: int = NUM_ROWS, wait_seconds: float = WAIT_SECONDS
) -> RowPreview:
    """The last and fullest answer of `RowPreviewing`. Raises what it raises."""
    *_, last = RowPreviewing(recipe, base_dir, num_rows).previews(wait_seconds)
    return last


def tokenizer_or_reason(recipe: Recipe, base_dir: Path) -> tuple[Path | None, str]:
    """The folder or GGUF file with the model's tokenizer, or None and why rows are shown without tokens."""
    if recipe.model.trust_remote_code:
        return None, "The model may bring code of its own, which only a run carries out; rows are shown untokenized."
    try:
        place = tokenizer_place(recipe, base_dir)
    except ModelError as fault:
        return None, f"{fault.happened} Rows are shown untokenized."
    return place, "" if place else "The model's tokenizer is not here yet; rows are shown untokenized."


def with_note(preview: RowPreview, note: str) -> RowPreview:
    return replace(preview, note=" ".join(part for part in (preview.note, note) if part))


def error_of(told: dict[str, Any]) -> FinetuiError:
    """A worker's fault as the error it was there."""
    kind = getattr(errors, str(told["kind"]), FinetuiError)
    fault: FinetuiError = kind(str(told["happened"]), means=str(told["means"]), remedy=str(told["remedy"]))
    return fault


def lines_until(pipe: int, deadline: float) -> Iterator[bytes]:
    """Whole lines from a pipe until it closes. Raises TimeoutError at the deadline (monotonic clock)."""
    unfinished = b""
    with selectors.DefaultSelector() as ready:
        ready.register(pipe, selectors.EVENT_READ)
        while True:
            if not ready.select(max(deadline - time.monotonic(), 0)):
                raise TimeoutError
            chunk = os.read(pipe, 1 << 16)
            if not chunk:
                return
            *lines, unfinished = (unfinished + chunk).split(b"\n")
            yield from lines
