"""How many tokens the rows of a dataset have and how many of them are trained, whatever the number of rows.

A worker process (`python -P -m engine.training.token_counting`) renders and counts; this module starts it, hands out
how far it is, and ends it. Lengths come back through a file, 4 bytes a row. Not here: the rendering, what a plan counts
with (`row_counts`), and packing (`packing`).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.data_request import missing_rows
from engine.environment import looking_environment, worker_command
from engine.errors import DiedError, ModelError
from engine.recipe import Recipe
from engine.row_counts import ending, tokenizer_place
from engine.row_preview import error_of, lines_until

MODULE = "engine.training.token_counting"
LONGEST_WAIT_SECONDS = 1e6
THRESHOLDS = tuple(2**power for power in range(6, 18))
"""Values of max_length, in tokens, for which what is lost is counted; the one asked for is counted too."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What cutting rows at `max_length` tokens loses. `num_without_answer` rows lose every trained token."""

    max_length: int
    num_rows_over: int
    num_tokens_lost: int
    num_trained_lost: int
    num_without_answer: int


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """`lengths`: tokens of every counted row, in file order, before any cut; `num_rows` could have been counted.

    `num_refused` rows the chat template cannot take; `refusal` says why of the first.
    """

    lengths: array[int]
    num_rows: int
    num_trained: int
    num_refused: int
    refusal: str
    rendering: str
    losses: tuple[Loss, ...]
    seconds: float

    @property
    def counts(self) -> Counter[int]:
        """How many rows have each length."""
        return Counter(self.lengths)

    @property
    def is_sample(self) -> bool:
        return len(self.lengths) + self.num_refused < self.num_rows

    def loss_at(self, max_length: int) -> Loss:
        """Raises KeyError for a length that was not counted for."""
        return {loss.max_length: loss for loss in self.losses}[max_length]


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows and tokens counted so far, and the seconds since the first row."""

    num_rows: int
    num_tokens: int
    seconds: float


def model_files(recipe: Recipe, base_dir: Path) -> Path:
    """The folder with the model's tokenizer, or the GGUF file that it is made of. Raises ModelError."""
    if recipe.model.trust_remote_code:
        raise ModelError(
            f"{recipe.model.name_or_path} may bring code of its own, which only a run carries out.",
            means="Its tokens cannot be counted before a run.",
            remedy="Leave model.trust_remote_code out where the tokenizer needs no code of its own.",
        )
    if place := tokenizer_place(recipe, base_dir):
        return place
    raise ModelError(
        f"The tokenizer of {recipe.model.name_or_path} is not on this machine.",
        means="Counting tokens downloads nothing.",
        remedy=f"Fetch it with `hf download {recipe.model.name_or_path} --include '*.json' --include '*.model'`, "
        "or start a run, which fetches the model.",
    )


class TokenCounting:
    """One worker counting the rows of a recipe whose existing paths are absolute: all, or `sample` of `num_rows`."""

    def __init__(self, recipe: Recipe, base_dir: Path, num_rows: int, sample: int | None = None) -> None:
        self.recipe, self.base_dir, self.num_rows = recipe, base_dir, num_rows
        self.sample = 0 if sample is None or sample >= num_rows else sample

    def count(self, on_progress: Callable[[Progress], None] = lambda _: None) -> TokenCounts:
        """Blocks until all is counted; ends the worker where it is interrupted.

        Raises what the worker found wrong (DataError, ModelError), and DiedError where it ends without an answer.
        """
        if missing := missing_rows(self.recipe, self.base_dir):
            raise missing
        model = model_files(self.recipe, self.base_dir)
        with tempfile.TemporaryDirectory(prefix="finetui-") as folder:
            path = Path(folder) / "lengths"
            told = self._answer(model, path, on_progress)
            lengths = array("I")
            lengths.frombytes(path.read_bytes())
        losses = tuple(Loss(**loss) for loss in told.pop("losses"))
        return TokenCounts(lengths, self.num_rows, losses=losses, **told)

    def _answer(self, model: Path, path: Path, on_progress: Callable[[Progress], None]) -> dict[str, Any]:
        words = (str(model), str(os.getpid()), str(path), str(self.num_rows), str(self.sample))
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(
                worker_command(MODULE, *words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=looking_environment() | {"TOKENIZERS_PARALLELISM": "true"},
            ) as worker,
        ):
            assert worker.stdin is not None
            assert worker.stdout is not None
            try:
                with contextlib.suppress(BrokenPipeError):  # it ended already; how, its exit code tells
                    worker.stdin.write(self.recipe.to_toml().encode())
                    worker.stdin.close()
                for line in lines_until(worker.stdout.fileno(), time.monotonic() + LONGEST_WAIT_SECONDS):
                    told: dict[str, Any] = json.loads(line)
                    if error := told.get("error"):
                        raise error_of(error)
                    if "losses" in told:
                        return told
                    on_progress(Progress(**told))
                worker.wait()
            finally:
                worker.kill()
            said.seek(0)
            done = subprocess.CompletedProcess(worker.args, worker.returncode, b"", said.read())
        raise DiedError(
            f"The process that counts the tokens {ending(done)}.",
            means="The rows were not counted; a run may still be able to read them.",
            remedy="Try again; `finetui doctor` checks the libraries that it loads.",
        )
