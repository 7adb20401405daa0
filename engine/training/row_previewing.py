"""A worker that shows the first train rows of a recipe as training renders them, and counts the others.

Run as `python -P -m engine.training.row_previewing MODEL PARENT_PID NUM_ROWS` with the recipe, its paths absolute, on
stdin. MODEL is a folder with a tokenizer or a .gguf file; "-" leaves tokens out. JSON lines come out: a preview with
the rows untokenized, one with them as the model reads them, one with the receipt too, or {"error"}. With a line number
behind NUM_ROWS, rows are shown as they stand in their file from that line on, without splits and receipt, and token by
token. transformers is loaded late: without tokens, or with rows that cannot be read, it is not needed. Not here: who
asks (`engine.row_preview`).
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.conversation import Conversation, Example
from data.loading import Rows
from data.preparation import Prepared, main_source, prepare, shape_of
from engine.data_request import data_request
from engine.errors import DataError
from engine.recipe import Recipe
from engine.row_preview import UNTOKENIZED, Piece, PreviewedRow, Token
from engine.worker_edge import answer_in_lines, die_with_parent

if TYPE_CHECKING:
    from engine.training.rendering import Rendered, Renderer

MAX_ROWS = 20_000
"""Rows that are read for a preview; a run reads all."""
COUNT_SECONDS = 30.0
"""Rows are counted so long; what is left then is said."""


def previews(recipe: Recipe, model: Path | None, num_rows: int) -> Iterator[dict[str, Any]]:
    """Rows and format at once; with a model the rows as it reads them then, and their receipt at last.

    Raises DataError or ModelError.
    """
    request = replace(data_request(recipe), offline=True)
    limited = request.max_rows is None or request.max_rows > MAX_ROWS
    rows = prepare(replace(request, max_rows=MAX_ROWS) if limited else request)
    note = f"Only the first {MAX_ROWS:,} rows were read." if limited and rows.num_read >= MAX_ROWS else ""
    told: dict[str, Any] = {"rows": [], "receipt": None, "detection": rows.detection.to_json(), "note": note}
    yield told | {"rows": [asdict(untokenized(example)) for example in rows.train[:num_rows]]}
    if model is None:
        return  # what makes tokens takes seconds to load
    from engine.training.prepare import receipt_of, renderer_for

    counted = Counted(rows, renderer_for(recipe, model))
    counted.take(num_rows)
    told["rows"] = [asdict(previewed(row, counted.renderer.tokenizer, recipe)) for row in counted.rendered]
    yield told
    counted.take(len(rows.train), until=time.monotonic() + COUNT_SECONDS)
    if left := len(counted.waiting):
        num_train = len(counted.rendered) + left
        note = f"{note} Tokens were counted in {len(counted.rendered):,} of {num_train:,} train rows.".strip()
    receipt = receipt_of(recipe, counted.prepared(), counted.rendered).to_json()
    lengths = sorted(Counter(len(row.input_ids) for row in counted.rendered).items())
    yield told | {"receipt": receipt, "lengths": lengths, "note": note}


def placed(recipe: Recipe, model: Path, num_rows: int, first_line: int) -> dict[str, Any]:
    """The usable rows from a line on, in file order, token by token. Raises DataError or ModelError."""
    from engine.training.token_counting import renderer_of

    request = replace(data_request(recipe), offline=True)
    rows = Rows(request.dataset, main_source(request), shape_of(request), request.max_rows)
    renderer = renderer_of(recipe, model)
    from_there = (row.example for row in rows if row.example is not None and row.line >= first_line)
    shown = []
    for example in islice(from_there, num_rows):
        try:
            row = renderer.render(example)
        except DataError as fault:
            shown.append(PreviewedRow(example.line, (), 0, None, None, is_left_out=True, refusal=fault.happened))
        else:
            tokens = tokens_of(row, renderer.tokenizer)
            shown.append(replace(previewed(row, renderer.tokenizer, recipe), tokens=tokens))
    return {"rows": [asdict(row) for row in shown], "receipt": None, "detection": None, "note": ""}


def tokens_of(row: Rendered, tokenizer: Any) -> tuple[Token, ...]:
    """Every token: its id, what it adds to the text before it, and whether it is trained.

    Where several tokens make up one character, the text of the first ones is the sign for a broken character.
    """

    def text_of(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    told = []
    for at, (token, label) in enumerate(zip(row.input_ids, row.labels, strict=True)):
        before = text_of(row.input_ids[at - 1 : at]) if at else ""
        both = text_of(row.input_ids[max(at - 1, 0) : at + 1])
        text = both[len(before) :] if both.startswith(before) else text_of([token])
        told.append((token, text, label >= 0))
    return tuple(told)


class Counted:
    """Train rows as far as they are rendered; a row that the chat template refuses is rejected, as in a run."""

    def __init__(self, rows: Prepared, renderer: Renderer) -> None:
        self.rows, self.renderer = rows, renderer
        self.waiting = deque(rows.train)
        self.kept: list[Example] = []
        self.rendered: list[Rendered] = []
        self.rejected = list(rows.rejected)

    def take(self, num_rows: int, until: float = math.inf) -> None:
        """Render until there are so many. Raises DataError where the template refuses every row."""
        from engine.training.prepare import refusal

        first_fault: DataError | None = None
        while self.waiting and len(self.rendered) < num_rows and time.monotonic() < until:
            example = self.waiting.popleft()
            try:
                self.rendered.append(self.renderer.render(example))
                self.kept.append(example)
            except DataError as fault:
                first_fault = first_fault or fault
                self.rejected.append(refusal(example.line, self.rows))
        if first_fault and not self.rendered and not self.waiting:
            raise first_fault

    def prepared(self) -> Prepared:
        """The rows less those that were refused so far."""
        return replace(self.rows, train=(*self.kept, *self.waiting), rejected=tuple(self.rejected))


def previewed(row: Rendered, tokenizer: Any, recipe: Recipe) -> PreviewedRow:
    """A rendered row as text, cut into pieces where training begins or ends, and at max_length."""
    max_length = recipe.training.max_length
    ids, trained = row.input_ids, [label >= 0 for label in row.labels]
    starts = [at for at in range(len(ids)) if at in (0, max_length) or trained[at] != trained[at - 1]]
    texts = texts_between(ids, [*starts, len(ids)], tokenizer)
    is_long = len(ids) > max_length
    return PreviewedRow(
        line=row.line,
        pieces=tuple((text, trained[start]) for text, start in zip(texts, starts, strict=True)),
        num_pieces_kept=sum(start < max_length for start in starts),
        num_tokens=len(ids),
        num_trained=row.num_trained,
        # As `dataset_files.read_split` has it: position 0 predicts nothing.
        is_left_out=(is_long and recipe.data.on_overflow == "drop") or not any(trained[1:max_length]),
    )


def texts_between(ids: list[int], borders: Sequence[int], tokenizer: Any) -> list[str]:
    """The text of the tokens between each border and the next; put together, that of all.

    A piece is what its tokens add to the text before them: some tokenizers begin every text without its first space.
    A character whose tokens lie on both sides of a border belongs to the later piece.
    """
    texts, before = [], ""
    for end in borders[1:]:
        so_far = tokenizer.decode(ids[:end], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        whole = so_far if end == len(ids) else so_far.rstrip("\ufffd")
        texts.append(whole[len(before) :])
        before = whole
    return texts


def untokenized(example: Example) -> PreviewedRow:
    """What can be shown of a row without its model: its messages in turn, the answers trained."""
    pieces: list[Piece] = [(example.answer, True)]
    if isinstance(example, Conversation):
        pieces = [(f"{message.role}: {message.content}\n", message.role == "assistant") for message in example.messages]
    return PreviewedRow(example.line, tuple(pieces), len(pieces), None, None)


def answers(model: Path | None, num_rows: int, first_line: Sequence[int]) -> Iterator[dict[str, Any]]:
    """What is shown of the recipe on stdin. Raises DataError or ModelError."""
    recipe = Recipe.parse(sys.stdin.read())
    if model is not None and first_line:
        yield placed(recipe, model, num_rows, *first_line)
    else:
        yield from previews(recipe, model, num_rows)


def main(arguments: list[str]) -> int:
    die_with_parent(int(arguments[1]))
    model = None if arguments[0] == UNTOKENIZED else Path(arguments[0])
    num_rows, *first_line = (int(word) for word in arguments[2:])
    return answer_in_lines(lambda: answers(model, num_rows, first_line))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
