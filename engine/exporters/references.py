"""What a model makes of rows of a run: its greedy answers, its loss on the wanted ones, its logits there.

The tuned model's is computed once and kept with the run's answers: the merged model and every GGUF file are held
against the same one. Not here: which rows (`checking`), and how far apart two models may be (`merged`, `verification`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.file_modes import make_private
from engine.evaluation.generation import Limits
from engine.evaluation.held_out_loss import nats_of, scored_logits
from engine.exporters import Job, Throttled, checking, placing
from engine.exporters.checking import Asked
from engine.run_dir import read_json

if TYPE_CHECKING:
    import numpy as np

KEPT = "tuned-for-exports.npz"
COMPARED_NUMBERS = 16 * 2**20
"""Logits that are kept to compare with: 64 MiB as float32, 340 tokens of SmolLM2's vocabulary."""
BATCH_ROWS = 32
TIMED_ROWS = 3


@dataclass(frozen=True, slots=True)
class Reference:
    """One model on the rows. `losses` are (nats, tokens) per row.

    `logits` are those behind the answer's tokens, (tokens x vocabulary) as float32, of some rows, the longest.
    """

    asked: Asked
    answers: tuple[str, ...]
    losses: tuple[tuple[float, int], ...]
    logits: Mapping[int, np.ndarray]

    @property
    def perplexity(self) -> float | None:
        return perplexity(self.losses)


def tuned(job: Job, artifact: str, asked: Asked, dtype: str) -> Reference:
    """What was trained, on the rows: the kept one, else computed in `dtype` and kept. Raises as loading does."""
    made_from = placing.origin(job, rows=_digest(asked), dtype=dtype, answer=job.recipe.evaluation.max_new_tokens)
    path = job.run.answers / KEPT
    if (kept := _read(path, made_from, asked)) is not None:
        return kept
    job.tell(artifact, "loading the tuned model")
    model = _trained(job, dtype)
    try:
        found = reference(job, artifact, model, asked, "tuned model answers")
    finally:
        del model
        checking.let_go()
    with contextlib.suppress(OSError):  # computed again next time
        _keep(path, made_from, found)
    return found


def reference(job: Job, artifact: str, model: Any, asked: Asked, doing: str) -> Reference:
    """Let a loaded model read the expected answers and answer the rows itself. Raises OutOfMemoryError.

    An adapter is read as it is and answers folded into float32 weights.
    """
    from engine.evaluation.smaller_batches import generate_within_memory

    losses, logits, room = [(0.0, 0)] * len(asked.whole), dict[int, Any](), COMPARED_NUMBERS
    for row, found, targets in scored_logits(model, dict(enumerate(asked.rows)), limits(job, asked, BATCH_ROWS)):
        losses[row] = (nats_of(found, targets), len(targets))
        room = room - found.numel() if found.numel() <= room else 0
        if room:
            logits[row] = found.cpu().numpy().copy()
    _fold_in(model)
    answers: dict[int, str] = {}
    throttled, prompts = Throttled(job, artifact), dict(enumerate(map(list, asked.prompts)))
    for row, new_ids in generate_within_memory(model, prompts, limits(job, asked, BATCH_ROWS), job.writer):
        answers[row] = text(asked, new_ids)
        throttled.tell(doing, len(answers), len(prompts))
    return Reference(asked, tuple(answers[row] for row in sorted(answers)), tuple(losses), logits)


def seconds_per_answer(job: Job, model: Any, asked: Asked) -> float | None:
    """Wall time of one answer after another, of the first rows; `model` runs in torch."""
    from engine.evaluation.smaller_batches import generate_within_memory

    timed = asked.prompts[:TIMED_ROWS]
    begun = time.monotonic()
    for prompt in timed:
        list(generate_within_memory(model, {0: list(prompt)}, limits(job, asked, 1), job.writer))
    return (time.monotonic() - begun) / len(timed) if timed else None


def answer_places(labels: Sequence[int]) -> tuple[list[int], list[int]]:
    """(places whose next token is trained, those next tokens)."""
    places = [place - 1 for place, label in enumerate(labels) if place and label >= 0]
    return places, [labels[place + 1] for place in places]


def perplexity(losses: Sequence[tuple[float, int]]) -> float | None:
    """exp of the mean loss per token, of (nats, tokens) per row; None without tokens or for what is no number."""
    num_tokens = sum(count for _, count in losses)
    nats = sum(loss for loss, _ in losses)
    return math.exp(min(nats / num_tokens, 700.0)) if num_tokens and math.isfinite(nats) else None


def limits(job: Job, asked: Asked, batch_size: int) -> Limits:
    """When an answer ends: as the recipe's evaluation says."""
    return Limits(
        stop_ids=asked.stop_ids,
        max_new_tokens=job.recipe.evaluation.max_new_tokens,
        batch_size=batch_size,
        pad_id=asked.tokenizer.pad_token_id or 0,
    )


def text(asked: Asked, new_ids: Sequence[int]) -> str:
    """An answer's text, without control tokens."""
    return str(asked.tokenizer.decode(new_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _trained(job: Job, dtype: str) -> Any:
    """What was trained: the model itself, or the adapter on the base as it lies in its files."""
    from engine.evaluation.contenders import with_adapter
    from engine.training.model_loading import load_model

    loading: dict[str, Any] = {
        "dtype": dtype,
        "device": str(job.settings.get("device") or "cpu"),
        "attn_implementation": job.plan.padded_attention,
        "trust_remote_code": job.recipe.model.trust_remote_code,
    }
    if job.plan.method == "full":
        return load_model(job.run.adapter, **loading)
    base = load_model(Path(read_json(job.run.model)["folder"]), **loading)
    return with_adapter(base, job.run.adapter, merge=False)


def _fold_in(model: Any) -> None:
    """Add an adapter's changes to the weights in place: decoding takes a third of the time then."""
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    ends = (model.get_input_embeddings(), model.get_output_embeddings())  # they may share one weight
    if model.dtype != torch.float32 or any(isinstance(each, BaseTunerLayer) for each in ends):
        return
    for layer in [module for module in model.modules() if isinstance(module, BaseTunerLayer)]:
        layer.merge()


def _digest(asked: Asked) -> str:
    """A hash of the rows as tokens, with what ends an answer."""
    told = [asked.prompts, asked.whole, asked.labels, sorted(asked.stop_ids)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _keep(path: Path, made_from: Mapping[str, Any], found: Reference) -> None:
    import numpy as np

    record = json.dumps({"made_from": made_from, "answers": found.answers, "losses": found.losses})
    make_private(path.parent)
    beside = path.with_name(f".{path.name}.unfinished")
    try:
        with beside.open("wb") as file:
            arrays = {f"logits_{row}": each for row, each in found.logits.items()}
            np.savez(file, record=np.frombuffer(record.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _read(path: Path, made_from: Mapping[str, Any], asked: Asked) -> Reference | None:
    """What is kept, if it is whole and made from the same."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            record = json.loads(stored["record"].tobytes())
            if record["made_from"] != made_from:
                return None
            names = [name for name in stored.files if name.startswith("logits_")]
            logits = {int(name.removeprefix("logits_")): stored[name] for name in names}
            losses = tuple((float(nats), int(count)) for nats, count in record["losses"])
            return Reference(asked, tuple(map(str, record["answers"])), losses, logits)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
