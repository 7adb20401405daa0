"""The rows an artifact is tried on, how far two models' logits are apart, and in which precision they fit.

The rows are those kept for the test, else for evaluation, else trained ones. Not here: what a model makes of them
(`references`), and how far apart two may be, which each exporter states itself.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.conversation import Conversation
from engine.evaluation.generation import Limits
from engine.evaluation.held_out_loss import Row, scored_logits
from engine.evaluation.prompts import is_scorable, question
from engine.exporters import Job
from engine.host import read_ram
from engine.run_dir import read_json

if TYPE_CHECKING:
    import numpy as np

DEFAULT_ROWS = 32
"""Rows that an artifact answers where the request names no number."""
COMPARED_ROWS = 8
"""Rows by whose logits alone an adapter is compared with its base."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows of a run, as tokens. `prompts` end where the answer begins; `whole` holds the answer too, `labels` it alone.

    `origin` says which rows they are: test, eval or train.
    """

    origin: str
    prompts: tuple[tuple[int, ...], ...]
    whole: tuple[tuple[int, ...], ...]
    labels: tuple[tuple[int, ...], ...]
    stop_ids: frozenset[int]
    tokenizer: Any

    @property
    def rows(self) -> list[Row]:
        """(ids, labels) of each."""
        return list(zip(self.whole, self.labels, strict=True))


def asked_rows(job: Job) -> Asked:
    """So many rows as the request wants, those with a question in them. Raises as reading a run does."""
    from engine.training.dataset_files import read_examples
    from engine.training.rendering import Renderer
    from engine.training.tokenizer_loading import load_tokenizer

    wanted = int(job.settings.get("rows") or DEFAULT_ROWS)
    rows: list[Conversation] = []
    origin = "train"
    for name in ("test", "eval", "train"):
        path = job.run.dataset / f"{name}.jsonl"
        if not path.exists():
            continue
        for example in read_examples(path):
            if is_scorable(example):
                rows.append(example)
            if len(rows) == wanted:
                break
        if rows:
            origin = name
            break
    folder = Path(read_json(job.run.model)["folder"])
    tokenizer = load_tokenizer(folder, trust_remote_code=job.recipe.model.trust_remote_code)
    prepared = read_json(job.run.prepared)
    renderer = Renderer(tokenizer, prepared["rendering"], job.recipe.data.completion_only_loss)
    limit = job.plan.max_length
    rendered = [each for row in rows if len((each := renderer.render(row)).input_ids) <= limit]
    kept = {each.line for each in rendered}
    prompts = tuple(tuple(renderer.prompt_ids(question(row))) for row in rows if row.line in kept)
    return Asked(
        origin,
        prompts,
        tuple(tuple(each.input_ids) for each in rendered),
        tuple(tuple(each.labels) for each in rendered),
        frozenset(prepared["stop_ids"]),
        tokenizer,
    )


def first_logits(model: Any, asked: Asked) -> dict[int, np.ndarray]:
    """The logits behind the first rows' answers, by which two models are compared: (tokens x vocabulary), float32."""
    limits = Limits(
        asked.stop_ids, max_new_tokens=1, batch_size=COMPARED_ROWS, pad_id=asked.tokenizer.pad_token_id or 0
    )
    few = dict(enumerate(asked.rows[:COMPARED_ROWS]))
    return {row: found.cpu().numpy() for row, found, _ in scored_logits(model, few, limits)}


def agreement(some: Sequence[str], others: Sequence[str]) -> float | None:
    """The share of rows answered alike; None without rows."""
    return sum(map(str.__eq__, some, others)) / len(some) if some else None


def logit_difference(some: Mapping[int, np.ndarray], others: Mapping[int, np.ndarray]) -> float:
    """How far two models are apart: root mean square of the difference of their logits over that of the logits.

    The mean of each position is taken off first, since it changes no probability.
    """
    squares = difference = 0.0
    for row in some.keys() & others.keys():
        early, late = (each - each.mean(-1, keepdims=True) for each in (some[row], others[row]))
        squares += float((early**2).sum(dtype="float64"))
        difference += float(((early - late) ** 2).sum(dtype="float64"))
    return math.sqrt(difference / squares) if squares else 0.0


def precision_that_fits(num_parameters: int, stored: str, device: str) -> str | None:
    """float32 if the memory of `device` holds the weights in it, else the stored type, else None."""
    free = free_bytes(device)
    for dtype, size in (("float32", 4), (stored, 2)):
        if num_parameters * size * 1.3 < free:
            return dtype
    return None


def free_bytes(device: str) -> int:
    """Memory free now: of the card, or of the machine within its control group."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return read_ram().available_bytes


def let_go() -> None:
    """Give the memory of models that nobody holds any more back, on a card too."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
