"""A worker that renders the rows of a recipe one after the other and counts their tokens; it keeps none of them.

Run as `python -P -m engine.training.token_counting MODEL PARENT_PID LENGTHS_FILE NUM_ROWS SAMPLE` with the recipe, its
paths absolute, on stdin. MODEL is a folder with a tokenizer or a .gguf file, SAMPLE how many rows to draw (0: all).
JSON lines come out: how far it is, about twice a second, then the counts, or {"error"}. LENGTHS_FILE gets the tokens of
each counted row, 4 bytes in the machine's order. Not here: who asks (`engine.token_counts`).
"""

from __future__ import annotations

import random
import sys
import time
from array import array
from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from data.conversation import Example
from data.loading import Rows
from data.preparation import main_source, shape_of
from engine.data_request import data_request
from engine.errors import DataError
from engine.recipe import Recipe
from engine.token_counts import THRESHOLDS, Loss
from engine.training.rendering import IGNORED, Rendered, Renderer, rendering_for
from engine.worker_edge import answer_in_lines, die_with_parent

TOLD_EVERY_SECONDS = 0.5
KEPT_LENGTHS = 8192
"""Lengths that are held before they are written."""


class Tally:
    """Sums over rendered rows, and what would be lost at each of some values of max_length."""

    def __init__(self, thresholds: Collection[int]) -> None:
        self.num_rows = self.num_tokens = self.num_trained = self.num_refused = 0
        self.refusal: DataError | None = None
        self.thresholds = sorted(thresholds, reverse=True)
        self.lost = {threshold: [0, 0, 0, 0] for threshold in self.thresholds}

    def add(self, row: Rendered) -> None:
        length, end, trained = len(row.input_ids), len(row.input_ids), 0
        self.num_rows += 1
        self.num_tokens += length
        for threshold in self.thresholds:
            if threshold >= length:
                continue
            trained += end - threshold - row.labels[threshold:end].count(IGNORED)
            end = threshold
            lost = self.lost[threshold]
            lost[0] += 1
            lost[1] += length - threshold
            lost[2] += trained
        trained += end - row.labels[:end].count(IGNORED)
        self.num_trained += trained
        if length > self.thresholds[-1]:
            self._without_answer(row, length)

    def _without_answer(self, row: Rendered, length: int) -> None:
        # Position 0 predicts nothing: a label there is never scored.
        first = next((place for place, label in enumerate(row.labels) if place and label != IGNORED), length)
        for threshold in self.thresholds:
            if first >= threshold and threshold < length:
                self.lost[threshold][3] += 1

    def refuse(self, fault: DataError) -> None:
        self.num_refused += 1
        self.refusal = self.refusal or fault

    def losses(self) -> list[Loss]:
        return [Loss(threshold, *self.lost[threshold]) for threshold in reversed(self.thresholds)]


def count(recipe: Recipe, renderer: Renderer, into: BinaryIO, num_rows: int, sample: int) -> Iterator[dict[str, Any]]:
    """How far it is, from time to time, and in the end the counts. Raises DataError where no row can be rendered."""
    request = data_request(recipe)
    rows = Rows(request.dataset, main_source(request), shape_of(request), request.max_rows)
    chosen = sorted(random.Random(recipe.data.seed).sample(range(num_rows), sample)) if sample else None
    tally = Tally({*THRESHOLDS, recipe.training.max_length})
    lengths = array("I")
    started = told = time.monotonic()
    for row in renderer.render_all(_examples(rows, chosen)):
        if isinstance(row, DataError):
            tally.refuse(row)
            continue
        tally.add(row)
        lengths.append(len(row.input_ids))
        if len(lengths) >= KEPT_LENGTHS:
            lengths.tofile(into)
            del lengths[:]
        if (now := time.monotonic()) - told > TOLD_EVERY_SECONDS:
            told = now
            done = tally.num_rows + tally.num_refused
            yield {"num_rows": done, "num_tokens": tally.num_tokens, "seconds": now - started}
    if tally.refusal is not None and not tally.num_rows:
        raise tally.refusal
    lengths.tofile(into)
    into.flush()  # who reads the next line reads the file too
    yield {
        "num_trained": tally.num_trained,
        "num_refused": tally.num_refused,
        "refusal": tally.refusal.happened if tally.refusal else "",
        "rendering": renderer.rendering,
        "losses": [asdict(loss) for loss in tally.losses()],
        "seconds": time.monotonic() - started,
    }


def _examples(rows: Rows, chosen: list[int] | None) -> Iterator[Example]:
    """Every usable row, or those whose places among them were chosen."""
    wanted = iter(chosen or ())
    following = next(wanted, -1)
    place = -1
    for row in rows:
        if row.example is None:
            continue
        place += 1
        if chosen is None:
            yield row.example
        elif place == following:
            yield row.example
            following = next(wanted, -1)
            if following < 0:
                return


def renderer_of(recipe: Recipe, model: Path) -> Renderer:
    """What makes tokens of the recipe's rows. Raises ModelError or DataError."""
    from engine.training.gguf_tokenizer import tokenizer_at

    tokenizer = tokenizer_at(model)
    rendering = rendering_for(recipe.data.rendering, tokenizer)
    return Renderer(tokenizer, rendering, recipe.data.completion_only_loss, recipe.data.trained_answers)


def answers(model: Path, lengths: Path, num_rows: int, sample: int) -> Iterator[dict[str, Any]]:
    """What `count` tells of the recipe on stdin. Raises DataError or ModelError."""
    recipe = Recipe.parse(sys.stdin.read())
    renderer = renderer_of(recipe, model)
    with lengths.open("wb") as into:
        yield from count(recipe, renderer, into, num_rows, sample)


def main(arguments: list[str]) -> int:
    model, parent, lengths, num_rows, sample = arguments
    die_with_parent(int(parent))
    return answer_in_lines(lambda: answers(Path(model), Path(lengths), int(num_rows), int(sample)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
