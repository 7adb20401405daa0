"""The preparation stage: rows read and split, model made ready, rows tokenized, receipt checked.

Run as `python -P -m engine.training.prepare RUN_DIR SUPERVISOR_PID`. Rows come first: a fault in them shows
before gigabytes of weights are fetched. Not here: training.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data.conversation import Conversation, Example
from data.errors import DataError
from data.many_rows.key_index import RowNumbers
from data.many_rows.stored_rows import less, more
from data.preparation import Prepared, Rejection, prepare
from data.receipt import Receipt, ReceiptCounter, TokenCount, check_receipt
from data.splitting import SPLITS
from engine import replaying
from engine.data_request import data_request
from engine.errors import ChangedError
from engine.event_log import EventWriter
from engine.events import DataReady, ModelReady, WarningRaised, clip
from engine.foreign_code import refuse_unconfirmed
from engine.recipe import Recipe
from engine.row_lengths import LengthCounter, RowLengths
from engine.run_dir import RunDir, cache_dir, read_json, write_atomic
from engine.training.dataset_files import SplitWriter
from engine.training.gguf_tokenizer import tokenizer_at
from engine.training.ready_model import ready_model
from engine.training.rendering import Rendered, Renderer, rendering_for
from engine.training.row_account import account_for
from engine.worker_edge import at_edge, die_with_parent


def prepare_run(run: RunDir, writer: EventWriter) -> int:
    """Everything an attempt needs, `prepared.json` last. Raises DataError, ModelError or RunDirError."""
    recipe = refuse_unconfirmed(Recipe.load(run.recipe))
    run.prepared.unlink(missing_ok=True)
    request = data_request(recipe)
    rows = prepare(request, run.dataset)
    model = ready_model(run, recipe, cache_dir())
    writer.write(
        ModelReady(
            name=recipe.model.name_or_path,
            folder=str(model.folder),
            num_files=len(model.files),
            num_bytes=sum(size for _, _, size in model.files),
            notes=tuple(clip(note, 300) for note in model.notes),
        )
    )
    renderer = renderer_for(recipe, model.folder)
    counted = Counted(
        ReceiptCounter(recipe.training.max_length, recipe.data.on_overflow),
        {"train": LengthCounter(), "eval": LengthCounter()},
    )
    rows, hashes = write_splits(run.dataset, rows, renderer, counted)
    receipt = receipt_from(counted.receipt, rows)
    write_atomic(run.receipt, json.dumps(receipt.to_json(), indent=1, ensure_ascii=False))
    check_receipt(receipt)
    account_for(run, request, rows, receipt, writer)
    warn_of_lost_positions(run, recipe, counted.lengths["train"].lengths(), writer)
    seal(run, rows, hashes, renderer, lengths_of(counted.lengths))
    try:
        for changed in replaying.check(run):
            writer.write(WarningRaised(text=f"{changed} differ from the replayed run; allowed by --allow-changes"))
    except ChangedError:
        run.prepared.unlink()
        raise
    writer.write(
        DataReady(
            num_train=len(rows.train),
            num_eval=len(rows.eval),
            num_test=len(rows.test),
            num_rejected=len(rows.rejected),
            trained_share=round(receipt.share_trained, 4),
            receipt_file=run.receipt.relative_to(run.path).as_posix(),
        )
    )
    return 0


def renderer_for(recipe: Recipe, place: Path) -> Renderer:
    """What makes tokens of the recipe's rows, with the tokenizer of a model folder or a GGUF file.

    Raises ModelError or DataError.
    """
    tokenizer = tokenizer_at(place, trust_remote_code=recipe.model.trust_remote_code)
    rendering = rendering_for(recipe.data.rendering, tokenizer)
    return Renderer(tokenizer, rendering, recipe.data.completion_only_loss, recipe.data.trained_answers)


@dataclass(frozen=True, slots=True)
class Counted:
    """What is counted of rows as they are written: the receipt of the train rows, and the lengths of each split."""

    receipt: ReceiptCounter
    lengths: dict[str, LengthCounter]


def write_splits(folder: Path, rows: Prepared, renderer: Renderer, counted: Counted) -> tuple[Prepared, dict[str, str]]:
    """Write train and eval rows as tokens; the rows less those that are rejected here, and a SHA-256 of each split."""
    with SplitWriter(folder, "train") as train, SplitWriter(folder, "eval") as evaluation:
        files = {"train": train, "eval": evaluation}

        def take(name: str, row: Rendered) -> None:
            counted.lengths[name].add(len(row.input_ids), row.num_trained)
            files[name].add(row)
            if name == "train":
                counted.receipt.add(token_count(row, counted.receipt.max_length))

        rows = render_splits(rows, renderer, take)
    return rows, {name: file.sha256 for name, file in files.items()}


def render_splits(rows: Prepared, renderer: Renderer, take: Callable[[str, Rendered], None]) -> Prepared:
    """Give train and eval rows as tokens, one at a time, to `take`; the rows less those that are rejected here.

    A row that the chat template refuses is rejected, in any split. Raises the first refusal when no training row is
    left: then the rows are not at fault, the template is.
    """
    kept: dict[str, Sequence[Example]] = {}
    refused_lines: dict[str, array[int]] = {name: array("Q") for name in SPLITS}
    num_pairs = 0
    for name in SPLITS:
        examples, refused = getattr(rows, name), RowNumbers()
        first_fault: DataError | None = None
        ahead, behind = itertools.tee(examples)
        for number, (example, row) in enumerate(zip(behind, renderer.render_all(ahead), strict=True)):
            if isinstance(row, DataError):
                first_fault = first_fault or row
                refused.add(number)
                refused_lines[name].append(example.line)
                continue
            num_pairs += name == "train" and isinstance(example, Conversation) and example.refused is not None
            if name != "test":
                take(name, row)
        if name == "train" and first_fault and len(refused) == len(examples):
            raise first_fault
        kept[name] = less(examples, refused)
    untested = set(refused_lines["test"])
    unseen = {line for line in rows.unseen if line not in untested} if untested else rows.unseen
    rejections = (refusal(line, rows, name) for name, lines in refused_lines.items() for line in lines)
    return replace(
        rows,
        train=kept["train"],
        eval=kept["eval"],
        test=kept["test"],
        unseen=unseen,
        rejected=more(rows.rejected, rejections),
        num_pairs=num_pairs,
    )


def refusal(number: int, rows: Prepared, split: str = "train") -> Rejection:
    """The account of a row, by its number in its dataset, that the model's chat template cannot take."""
    file, line = rows.places[split].of(number)
    return Rejection(line, "refused by the chat template", file)


def warn_of_lost_positions(run: RunDir, recipe: Recipe, lengths: RowLengths, writer: EventWriter) -> None:
    """Say so when rows reach past the positions that the model was trained for."""
    config = read_json(run.model_config)
    limit = config.get("text_config", config).get("max_position_embeddings")
    longest = min(lengths.longest[0][0], recipe.training.max_length)
    if isinstance(limit, int) and longest > limit:
        text = f"the longest row has {longest} tokens, but the model knows {limit} positions: lower training.max_length"
        writer.write(WarningRaised(text=text))


def receipt_of(recipe: Recipe, rows: Prepared, rendered: Iterable[Rendered]) -> Receipt:
    """What training will see of the train split, counted after truncation."""
    counted = ReceiptCounter(recipe.training.max_length, recipe.data.on_overflow)
    for row in rendered:
        counted.add(token_count(row, recipe.training.max_length))
    return receipt_from(counted, rows)


def receipt_from(counted: ReceiptCounter, rows: Prepared) -> Receipt:
    """The same of train rows that are counted already."""
    return counted.receipt(
        rejected=rows.rejected,
        split_sizes={name: len(getattr(rows, name)) for name in SPLITS},
        duplicates=rows.duplicates,
        detection=rows.detection,
        num_pairs=rows.num_pairs,
        place=rows.places["train"].words if len(rows.files) > 1 else None,
        notes=rows.notes,
    )


def token_count(row: Rendered, max_length: int | None) -> TokenCount:
    kept = row.labels[:max_length]
    trained_kept = [label for label in kept if label >= 0]
    return TokenCount(
        line=row.line,
        num_tokens=len(row.input_ids),
        num_trained=row.num_trained,
        num_tokens_kept=len(kept),
        num_trained_kept=len(trained_kept),
        stop_token_trained=row.stop_token_trained and len(trained_kept) == row.num_trained,
    )


def lengths_of(counted: Mapping[str, LengthCounter]) -> dict[str, Any]:
    """How long the rows of each split are, as the record keeps it. A split without rows has no entry."""
    names = {"train": "row_lengths", "eval": "eval_row_lengths"}
    return {names[name]: counter.lengths().to_json() for name, counter in counted.items() if counter.num_rows}


def seal(run: RunDir, rows: Prepared, hashes: dict[str, str], renderer: Renderer, lengths: dict[str, Any]) -> None:
    """Write down from what the splits were made; its presence says that the stage is done."""
    for path in run.dataset.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    record: dict[str, Any] = {
        "files": [asdict(source) for source in rows.files],
        "splits": {name: {"rows": len(getattr(rows, name)), "sha256": digest} for name, digest in hashes.items()},
        "test": {"rows": len(rows.test), "unseen": sorted(rows.unseen), "sha256": examples_sha256(rows.test)},
        **lengths,
        "rendering": renderer.rendering,
        "stop_ids": renderer.stop_ids(),
    }
    write_atomic(run.prepared, json.dumps(record, indent=1))


def examples_sha256(examples: Iterable[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        digest.update((json.dumps(example.to_json(), ensure_ascii=False, sort_keys=True) + "\n").encode())
    return digest.hexdigest()


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing to save: a stop ends preparation at once
    die_with_parent(int(arguments[1]))
    run = RunDir(Path(arguments[0]))
    writer = EventWriter(run.event_file("prepare"))
    return at_edge(lambda: prepare_run(run, writer), writer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
