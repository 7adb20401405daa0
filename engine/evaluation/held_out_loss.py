"""The loss of rows that nobody trained on: teacher forced, in batches, scored at the trained tokens only.

What all rows begin with (a system message, examples) is computed once. The vocabulary's head sees the scored positions
alone, so its logits take what the answers need and not what the prompts would: for Gemma's 262,144 words a prompt of
1,000 tokens is a gigabyte. Not here: the loss during training (`engine.training.trainer`).
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from engine.errors import OutOfMemoryError
from engine.evaluation.generation import Limits, autocast, common_prefix, has_plain_attention
from engine.evaluation.token_cache import roomy_cache
from engine.events import clip

IGNORED = -100
"""Label of a token that is not scored."""
WORTH_SHARING = 8
"""Tokens that rows begin with in common, from which on they are computed once."""
LOGITS_AT_ONCE = 48 * 2**20
"""Numbers that the head may make in one batch: 192 MiB as float32."""

Row = tuple[Sequence[int], Sequence[int]]
"""(token ids, labels: the id where it is scored, -100 elsewhere)."""


def losses(model: Any, rows: Mapping[int, Row], limits: Limits) -> Iterator[tuple[int, float, int]]:
    """(row, mean nats per scored token, scored tokens) of each row with a scored token, the longest rows first.

    Batches halve when memory runs out. Raises OutOfMemoryError when a single row is too much.
    """
    for row, logits, targets in scored_logits(model, rows, limits):
        yield row, nats_of(logits, targets) / len(targets), len(targets)


def nats_of(logits: Any, targets: Any) -> float:
    """The loss of some tokens (targets) together, by the logits before each of them (tokens x vocabulary)."""
    import torch

    return float(torch.nn.functional.cross_entropy(logits, targets, reduction="none").double().sum())


def scored_logits(model: Any, rows: Mapping[int, Row], limits: Limits) -> Iterator[tuple[int, Any, Any]]:
    """(row, float32 logits before its scored tokens, those tokens); order and errors as `losses`."""
    from engine.training.out_of_memory import out_of_memory

    left = {row: each for row, each in rows.items() if num_scored(each)}
    batch_size = limits.batch_size
    if not left:
        return
    begun = _Begun.of(model, list(left.values()), limits)
    while left:
        batch = _next_batch(left, batch_size, int(getattr(model.config.get_text_config(), "vocab_size", 1)))
        try:
            found = _batch_logits(begun, [left[row] for row in batch], limits)
        except (RuntimeError, MemoryError) as fault:
            if out_of_memory(fault) is None:
                raise
            if len(batch) == 1:
                raise OutOfMemoryError(
                    f"Out of memory while the loss of a single test row was computed: {clip(str(fault), 300)}",
                    means="The trained adapter is safe; only its score is missing.",
                    remedy="Free memory, then ask again; or leave the loss out with --metric exact_match.",
                ) from fault
            batch_size = len(batch) // 2
            found = []
            gc.collect()
        for row, (logits, targets) in zip(batch if found else (), found, strict=True):
            left.pop(row)
            yield row, logits, targets


def num_scored(row: Row) -> int:
    """Tokens of a row whose loss counts; nothing predicts the first."""
    return sum(label != IGNORED for label in row[1][1:])


def _next_batch(left: Mapping[int, Row], batch_size: int, vocabulary: int) -> list[int]:
    """The longest rows, as many as the head's logits have room for; one at least."""
    order = sorted(left, key=lambda row: (-len(left[row][0]), row))[:batch_size]
    batch: list[int] = []
    num_positions = 0
    for row in order:
        num_positions += num_scored(left[row])
        if batch and num_positions * vocabulary > LOGITS_AT_ONCE:
            break
        batch.append(row)
    return batch


@dataclass(frozen=True, slots=True)
class _Begun:
    """A model that has read what all rows begin with: `length` tokens in `cache`, None where nothing is shared."""

    model: Any
    length: int
    cache: Any

    @staticmethod
    def of(model: Any, rows: Sequence[Row], limits: Limits) -> _Begun:
        import torch

        first_scored = min((next(i for i, label in enumerate(labels) if i and label != IGNORED) for _, labels in rows))
        shared = list(common_prefix([ids for ids, _ in rows])[: first_scored - 1]) if len(rows) > 1 else []
        longest = max(len(ids) for ids, _ in rows)
        if len(shared) < WORTH_SHARING or not has_plain_attention(model, longest):
            return _Begun(model, 0, None)
        cache = roomy_cache(model, len(shared))
        ids = torch.tensor([shared], device=model.device)
        with torch.inference_mode(), autocast(model.device.type, limits.autocast):
            extras = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
            model(input_ids=ids, past_key_values=cache, use_cache=True, **extras)
        return _Begun(model, len(shared), cache)

    def logits(self, ids: Any, mask: Any, wanted: Any, limits: Limits) -> Any:
        """What the model says of the rest of some rows, at the wanted positions or at all of them."""
        import torch

        extras: dict[str, Any] = {"attention_mask": mask, "use_cache": False}
        if self.cache is not None:
            rows, width = ids.shape
            cache = roomy_cache(self.model, self.length + width, begin_with=self.cache, rows=rows)
            whole = torch.nn.functional.pad(mask, (self.length, 0), value=1)
            positions = (whole.cumsum(-1) - 1)[:, self.length :]
            extras = {
                "attention_mask": whole,
                "position_ids": positions,
                "past_key_values": cache,
                "use_cache": True,
            }
        takes = set(inspect.signature(self.model.forward).parameters)
        with head_sees(self.model, wanted), autocast(self.model.device.type, limits.autocast):
            return self.model(input_ids=ids, **{name: value for name, value in extras.items() if name in takes}).logits


def _batch_logits(begun: _Begun, rows: Sequence[Row], limits: Limits) -> list[tuple[Any, Any]]:
    import torch

    device = begun.model.device
    rest = [(ids[begun.length :], labels[begun.length :]) for ids, labels in rows]
    width = max(len(ids) for ids, _ in rest)
    ids = torch.tensor([[*each, *[limits.pad_id] * (width - len(each))] for each, _ in rest], device=device)
    labels = torch.tensor([[*each, *[IGNORED] * (width - len(each))] for _, each in rest], device=device)
    mask = torch.tensor([[1] * len(each) + [0] * (width - len(each)) for each, _ in rest], device=device)
    targets = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
    wanted = targets != IGNORED
    with torch.inference_mode():
        logits = begun.logits(ids, mask, wanted, limits)
        scored = logits[0] if logits.shape[:2] != ids.shape else logits[wanted]
        scored, counts = scored.float(), wanted.sum(-1).tolist()
    return list(zip(scored.split(counts), targets[wanted].split(counts), strict=True))


@contextmanager
def head_sees(model: Any, wanted: Any) -> Iterator[None]:
    """Hand the head only the wanted positions (rows x tokens) while this lasts, in one row: 1 x positions x width."""
    head = model.get_output_embeddings()
    if head is None:
        yield
        return

    def pick(_module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = arguments[0]
        fits = hidden.shape[:2] == wanted.shape
        return ((hidden[wanted][None] if fits else hidden), *arguments[1:])

    hook = head.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        hook.remove()
