"""The preparation stage: rows read and split, model made ready, rows tokenized, receipt checked.

Run as `python -P -m engine.training.prepare RUN_DIR SUPERVISOR_PID`. Rows come first: a fault in them shows
before gigabytes of weights are fetched. Not here: training.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from data.conversation import Example
from data.errors import DataError
from data.preparation import Prepared, Rejection, prepare
from data.receipt import Receipt, TokenCount, build_receipt, check_receipt
from engine import replaying
from engine.data_request import data_request
from engine.errors import ChangedError
from engine.event_log import EventWriter
from engine.events import DataReady, ModelReady, WarningRaised, clip
from engine.recipe import Recipe
from engine.row_lengths import RowLengths
from engine.run_dir import RunDir, cache_dir, read_json, write_atomic
from engine.training.dataset_files import write_examples, write_split
from engine.training.ready_model import ready_model
from engine.training.rendering import Rendered, Renderer, rendering_for
from engine.training.tokenizer_loading import load_tokenizer
from engine.worker_edge import at_edge, die_with_parent


def prepare_run(run: RunDir, writer: EventWriter) -> int:
    """Everything an attempt needs, `prepared.json` last. Raises DataError, ModelError or RunDirError."""
    recipe = Recipe.load(run.recipe)
    rows = prepare(data_request(recipe))
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
    rows, rendered = render_splits(rows, renderer)
    receipt = receipt_of(recipe, rows, rendered["train"])
    write_atomic(run.receipt, json.dumps(receipt.to_json(), indent=1, ensure_ascii=False))
    check_receipt(receipt)
    warn_of_lost_positions(run, recipe, rendered["train"], writer)
    hashes = {name: write_split(run.dataset, name, split) for name, split in rendered.items()}
    write_examples(run.dataset / "train.jsonl", rows.train)
    write_examples(run.dataset / "test.jsonl", rows.test)
    seal(run, rows, hashes, renderer, lengths_of(rendered))
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


def renderer_for(recipe: Recipe, folder: Path) -> Renderer:
    """What makes tokens of the recipe's rows, with the tokenizer of a model folder. Raises ModelError or DataError."""
    tokenizer = load_tokenizer(folder, trust_remote_code=recipe.model.trust_remote_code)
    rendering = rendering_for(recipe.data.rendering, tokenizer)
    return Renderer(tokenizer, rendering, recipe.data.completion_only_loss)


def render_splits(rows: Prepared, renderer: Renderer) -> tuple[Prepared, dict[str, list[Rendered]]]:
    """Train and eval rows as tokens. A row that the chat template refuses is rejected, in any split.

    Raises the first refusal when no training row is left: then the rows are not at fault, the template is.
    """
    rendered: dict[str, list[Rendered]] = {}
    kept: dict[str, tuple[Example, ...]] = {}
    refused: list[DataError] = []
    rejected = list(rows.rejected)
    for name in ("train", "eval", "test"):
        good: list[tuple[Example, Rendered]] = []
        for example in getattr(rows, name):
            try:
                good.append((example, renderer.render(example)))
            except DataError as fault:
                refused.append(fault)
                rejected.append(refusal(example, rows))
        kept[name] = tuple(example for example, _ in good)
        rendered[name] = [row for _, row in good]
    if refused and not kept["train"]:
        raise refused[0]
    lines = {example.line for example in kept["test"]}
    left = replace(
        rows,
        train=kept["train"],
        eval=kept["eval"],
        test=kept["test"],
        unseen=frozenset(line for line in rows.unseen if line in lines),
        rejected=tuple(rejected),
    )
    return left, {name: rendered[name] for name in ("train", "eval")}


def refusal(example: Example, rows: Prepared) -> Rejection:
    """The account of a row that the model's chat template cannot take."""
    source = rows.files[0].name if len(rows.files) == 1 else "all files counted together"
    return Rejection(example.line, "refused by the chat template", source)


def warn_of_lost_positions(run: RunDir, recipe: Recipe, rows: Sequence[Rendered], writer: EventWriter) -> None:
    """Say so when rows reach past the positions that the model was trained for."""
    config = read_json(run.model_config)
    limit = config.get("text_config", config).get("max_position_embeddings")
    longest = min(max(len(row.input_ids) for row in rows), recipe.training.max_length)
    if isinstance(limit, int) and longest > limit:
        text = f"the longest row has {longest} tokens, but the model knows {limit} positions: lower training.max_length"
        writer.write(WarningRaised(text=text))


def receipt_of(recipe: Recipe, rows: Prepared, rendered: Sequence[Rendered]) -> Receipt:
    """What training will see of the train split, counted after truncation."""
    max_length = recipe.training.max_length
    return build_receipt(
        [token_count(row, max_length) for row in rendered],
        max_length=max_length,
        on_overflow=recipe.data.on_overflow,
        rejected=rows.rejected,
        split_sizes={"train": len(rows.train), "eval": len(rows.eval), "test": len(rows.test)},
        duplicates=rows.duplicates,
        detection=rows.detection,
    )


def token_count(row: Rendered, max_length: int) -> TokenCount:
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


def lengths_of(rendered: dict[str, list[Rendered]]) -> dict[str, Any]:
    """How long the rows of each split are, as the record keeps it. A split without rows has no entry."""
    names = {"train": "row_lengths", "eval": "eval_row_lengths"}
    return {
        names[name]: RowLengths.of((len(row.input_ids), row.num_trained) for row in rows).to_json()
        for name, rows in rendered.items()
        if rows
    }


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


def examples_sha256(examples: Sequence[Example]) -> str:
    import hashlib

    text = "".join(json.dumps(example.to_json(), ensure_ascii=False, sort_keys=True) + "\n" for example in examples)
    return hashlib.sha256(text.encode()).hexdigest()


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing to save: a stop ends preparation at once
    die_with_parent(int(arguments[1]))
    run = RunDir(Path(arguments[0]))
    writer = EventWriter(run.event_file("prepare"))
    return at_edge(lambda: prepare_run(run, writer), writer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
