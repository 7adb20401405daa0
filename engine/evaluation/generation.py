"""Greedy answers for many prompts: batched, left-padded, what all prompts begin with computed once.

A small loop of our own instead of transformers' `generate()`: it reuses the keys and values of the common
prefix in every batch and lets finished rows leave their batch. Models whose memory is not plain attention
(recurrent layers, sliding windows that the rows outgrow) go through `generate()` in batches of equal length.
Not here: what is asked (`prompts`) and what an answer is worth (`scoring`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from engine.evaluation.token_cache import roomy_cache

COMPACT_BELOW = 0.75
"""A batch is copied together once fewer than this share of its rows still grow."""


def never(_new_ids: Sequence[int]) -> bool:
    """No row is complete before its stop token."""
    return False


@dataclass(frozen=True, slots=True)
class Limits:
    """When a row is finished, and how much is computed at once.

    `autocast` is bfloat16, float16 or none. `is_complete` is asked after every token with the row's new
    tokens; True ends the row, since nothing that follows could change its score.
    """

    stop_ids: frozenset[int]
    max_new_tokens: int
    batch_size: int
    pad_id: int
    autocast: str = "none"
    is_complete: Callable[[Sequence[int]], bool] = never


def generate(model: Any, prompts: Sequence[Sequence[int]], limits: Limits) -> Iterator[tuple[int, list[int]]]:
    """(index of the prompt, new token ids without the stop token), each as soon as its row is finished.

    A row ends at a stop token, when `is_complete` says so, or after `max_new_tokens`: the ids are what was
    generated, not always all that the model would have said. Raises ValueError for an empty prompt, and lets
    torch's out-of-memory errors pass.
    """
    if not all(prompts):
        raise ValueError("a prompt without a token cannot be answered")
    order = sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index))
    longest = max((len(prompt) for prompt in prompts), default=0) + limits.max_new_tokens
    if not has_plain_attention(model, longest):
        yield from _by_equal_length(model, prompts, order, limits)
        return
    prefix = common_prefix(prompts)
    with compact_head_input(model):
        decoder = _Decoder(model, limits, prefix)
        for start in range(0, len(order), limits.batch_size):
            rows = order[start : start + limits.batch_size]
            yield from decoder.answer(rows, [prompts[row][len(prefix) :] for row in rows])


@contextmanager
def compact_head_input(model: Any) -> Iterator[None]:
    """Hand the head the last positions as one block while this lasts.

    They come as a strided slice, and for weights without a gradient torch then copies the head once per row:
    1.8 GB and 3 s for 32 rows of a 135M model.
    """
    head = model.get_output_embeddings()
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _module, arguments: (arguments[0].contiguous(), *arguments[1:]))
    try:
        yield
    finally:
        hook.remove()


def common_prefix(prompts: Sequence[Sequence[int]]) -> Sequence[int]:
    """What all prompts begin with; at least the last token of each is left out. Empty for a single prompt."""
    if len(prompts) < 2:
        return []
    first, last = min(map(list, prompts)), max(map(list, prompts))
    room = min(len(prompt) for prompt in prompts) - 1
    length = next((i for i in range(room) if first[i] != last[i]), room)
    return first[:length]


def has_plain_attention(model: Any, longest: int) -> bool:
    """Whether every layer keeps keys and values of all `longest` tokens, so that rows can share and skip some."""
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    if "past_key_values" not in inspect.signature(model.forward).parameters:
        return False
    layers = DynamicCache(config=model.config).layers
    return all(
        type(layer) is DynamicLayer or (type(layer) is DynamicSlidingWindowLayer and longest <= layer.sliding_window)
        for layer in layers
    )


class _Decoder:
    """One model with the cache of a prefix; answers one batch at a time."""

    def __init__(self, model: Any, limits: Limits, prefix: Sequence[int]) -> None:
        import torch

        self.model, self.limits = model, limits
        self.device = model.device
        self.takes = set(inspect.signature(model.forward).parameters)
        self.prefix_length = len(prefix)
        self.prefix_cache = roomy_cache(model, len(prefix))
        if prefix:
            ids = torch.tensor([list(prefix)], device=self.device)
            self._next_tokens(ids, torch.ones_like(ids), self.prefix_cache)

    def answer(self, rows: Sequence[int], prompts: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[int]]]:
        """The same as `generate`, for rows whose prompts go on after the prefix."""
        import torch

        ids, mask = self._padded(prompts)
        room = mask.shape[1] + self.limits.max_new_tokens
        cache = roomy_cache(self.model, room, begin_with=self.prefix_cache, rows=len(rows))
        new_ids: list[list[int]] = [[] for _ in rows]
        lanes = list(range(len(rows)))  # which row each line of the tensors is
        growing = set(lanes)
        while True:
            tokens = self._next_tokens(ids, mask, cache)
            for lane, token in zip(lanes, tokens, strict=True):
                if lane in growing and self._is_finished(new_ids[lane], token):
                    growing.remove(lane)
                    yield rows[lane], new_ids[lane]
            if not growing:
                return
            ids = torch.tensor(tokens, device=self.device)[:, None]
            if len(growing) < COMPACT_BELOW * len(lanes):
                kept = torch.tensor([i for i, lane in enumerate(lanes) if lane in growing], device=self.device)
                cache.batch_select_indices(kept)
                ids, mask = ids[kept], mask[kept]
                lanes = [lane for lane in lanes if lane in growing]
            mask = torch.nn.functional.pad(mask, (0, 1), value=1)

    def _is_finished(self, new_ids: list[int], token: int) -> bool:
        if token in self.limits.stop_ids:
            return True
        new_ids.append(token)
        return len(new_ids) >= self.limits.max_new_tokens or self.limits.is_complete(new_ids)

    def _padded(self, prompts: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        """Ids (rows x longest) filled up on the left, and the mask with the prefix in front."""
        import torch

        width = max(len(prompt) for prompt in prompts)
        ids = [[self.limits.pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[1] * self.prefix_length + [0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        return torch.tensor(ids, device=self.device), torch.tensor(mask, device=self.device)

    def _next_tokens(self, ids: Any, mask: Any, cache: Any) -> list[int]:
        """Read `ids` into the cache; the likeliest next token of every line."""
        import torch

        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        extras = {"position_ids": positions, "logits_to_keep": 1}
        with torch.inference_mode(), autocast(self.device.type, self.limits.autocast):
            output = self.model(
                input_ids=ids,
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                **{name: value for name, value in extras.items() if name in self.takes},
            )
        return [int(token) for token in output.logits[:, -1].float().argmax(-1).tolist()]


def autocast(device_type: str, dtype: str) -> AbstractContextManager[Any]:
    """torch's autocast as a plan words it: bfloat16, float16 or none."""
    import torch

    return torch.autocast(
        device_type, dtype=getattr(torch, dtype) if dtype != "none" else None, enabled=dtype != "none"
    )


def _by_equal_length(
    model: Any, prompts: Sequence[Sequence[int]], order: Sequence[int], limits: Limits
) -> Iterator[tuple[int, list[int]]]:
    """transformers' own loop, without padding. `order` keeps prompts of equal length together."""
    import torch

    batch: list[int] = []
    for place, row in enumerate(order):
        batch.append(row)
        following = order[place + 1] if place + 1 < len(order) else None
        if following is not None and len(batch) < limits.batch_size and len(prompts[following]) == len(prompts[row]):
            continue
        ids = torch.tensor([list(prompts[index]) for index in batch], device=model.device)
        with torch.inference_mode(), autocast(model.device.type, limits.autocast):
            whole = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=limits.max_new_tokens,
                eos_token_id=sorted(limits.stop_ids) or None,
                pad_token_id=limits.pad_id,
            )
        for index, answer in zip(batch, whole[:, ids.shape[1] :].tolist(), strict=True):
            stop = next((i for i, token in enumerate(answer) if token in limits.stop_ids), len(answer))
            yield index, answer[:stop]
        batch = []
