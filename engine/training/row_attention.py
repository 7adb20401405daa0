"""Causal attention of joined rows on a CPU: plain matrix products for each row, nothing but their inputs kept.

PyTorch's flash kernel for CPUs needs 5.2 ms for the backward pass of a row of 256 tokens (9 heads of 64, bfloat16, one
core of a Zen 4), these products 1.7; forward it is 2.1 against 0.9. Scores are made again in the backward pass, so less
is kept than the kernel keeps: no key repeated for every head, no copy of the result. Long rows go in blocks of
queries, each against the keys it may see. Not here: which rows, and when this applies (`segment_attention`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

BLOCK = 128
"""Queries scored at once: scores take heads x BLOCK x keys x 2 or 4 bytes."""
_softmax_backward = torch.ops.aten._softmax_backward_data


def row_attention(
    query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int], scaling: float, sliding_window: int | None
) -> Tensor:
    """query (1, heads, tokens, head_dim), key, value (1, kv_heads, tokens, head_dim) -> (1, tokens, heads, head_dim).

    `lengths` are those of the rows; their sum is `tokens`. Scores are rounded to the inputs' type before the softmax,
    as eager attention rounds them.
    """
    if torch.is_autocast_enabled(query.device.type):
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    attended: Tensor = _RowAttention.apply(  # type: ignore[no-untyped-call]
        query, key, value, tuple(lengths), scaling, sliding_window
    )
    return attended


class _RowAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> Tensor:
        lengths, scaling, window = ctx.rest = rest
        ctx.save_for_backward(query, key, value)
        _, num_heads, num_tokens, head_dim = query.shape
        attended = query.new_empty(1, num_tokens, num_heads, head_dim)
        with torch.autocast(query.device.type, enabled=False):
            for place in _places(lengths):
                row = _Row(query[0, :, place], key[0, :, place], value[0, :, place], scaling)
                result = attended[0, place].transpose(0, 1)
                for block in _blocks(row.length, window):
                    row.write(result[:, block.queries], torch.bmm(row.shares(block), row.values(block)))
        return attended

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value = ctx.saved_tensors
        lengths, scaling, window = ctx.rest
        grads = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        with torch.autocast(query.device.type, enabled=False):
            for place in _places(lengths):
                row = _Row(query[0, :, place], key[0, :, place], value[0, :, place], scaling)
                upstream = grad_outputs[0][0, place].transpose(0, 1)
                _row_backward(row, upstream, [grad[0, :, place] for grad in grads], window)
        return (*grads, None, None, None)


def _row_backward(row: _Row, upstream: Tensor, grads: list[Tensor], window: int | None) -> None:
    """Fill the gradients (heads, length, head_dim) of a row's query, key and value from that of its result."""
    of_query, of_key, of_value = grads
    blocks = list(_blocks(row.length, window))
    several = len(blocks) > 1
    if several:  # summed over blocks, which 16 bits would round each time
        sums = torch.zeros_like(of_key, dtype=torch.float32), torch.zeros_like(of_value, dtype=torch.float32)
    for block in blocks:
        shares, keys, arriving = row.shares(block), row.keys(block), row.grouped(upstream[:, block.queries])
        of_block = torch.bmm(shares.transpose(1, 2), arriving)
        of_scores = _softmax_backward(torch.bmm(arriving, row.values(block).transpose(1, 2)), shares, -1, shares.dtype)
        del shares
        row.write(of_query[:, block.queries], torch.bmm(of_scores, keys).mul_(row.scaling))
        of_keys = torch.bmm(of_scores.transpose(1, 2), row.queries(block))
        if several:
            sums[0][:, block.keys] += of_keys
            sums[1][:, block.keys] += of_block
        else:
            sums = of_keys, of_block
    of_key.copy_(sums[0])
    of_value.copy_(sums[1])


@dataclass(frozen=True, slots=True)
class _Block:
    """Queries of a row, and the keys that any of them may see."""

    queries: slice
    keys: slice
    window: int | None

    def hide(self, scores: Tensor) -> None:
        """What a query may not see becomes -inf in scores (..., queries, keys): what comes later, or long before."""
        size, first = self.queries.stop - self.queries.start, self.queries.start - self.keys.start
        scores[..., first:] += scores.new_full((size, size), -torch.inf).triu_(1)
        if self.window is not None and first + size > self.window:
            scores += scores.new_full(scores.shape[-2:], -torch.inf).tril_(first - self.window)


@dataclass(frozen=True, slots=True)
class _Row:
    """One row: query (heads, length, head_dim), key and value (kv_heads, length, head_dim).

    Heads that share a key are computed as one product of so many times the queries: nothing is repeated.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    scaling: float

    @property
    def length(self) -> int:
        return self.query.shape[1]

    def grouped(self, part: Tensor) -> Tensor:
        """(heads, queries, head_dim) -> (kv_heads, heads of each x queries, head_dim)."""
        return part.reshape(self.key.shape[0], -1, part.shape[-1])

    def queries(self, block: _Block) -> Tensor:
        return self.grouped(self.query[:, block.queries] * self.scaling)

    def keys(self, block: _Block) -> Tensor:
        return self.key[:, block.keys].contiguous()

    def values(self, block: _Block) -> Tensor:
        return self.value[:, block.keys].contiguous()

    def shares(self, block: _Block) -> Tensor:
        """How much each query takes of each key: (kv_heads, heads of each x queries, keys)."""
        scores = torch.bmm(self.queries(block), self.keys(block).transpose(1, 2))
        block.hide(scores.view(self.query.shape[0], -1, scores.shape[-1]))
        return torch.softmax(scores, -1)

    def write(self, into: Tensor, result: Tensor) -> None:
        """A grouped result into (heads, queries, head_dim)."""
        into.copy_(result.view(into.shape))


def _places(lengths: Sequence[int]) -> Iterator[slice]:
    """Where each row stands among the tokens."""
    for end, length in zip(accumulate(lengths), lengths, strict=True):
        if length:
            yield slice(end - length, end)


def _blocks(length: int, window: int | None) -> Iterator[_Block]:
    for first in range(0, length, BLOCK):
        end = min(first + BLOCK, length)
        earliest = 0 if window is None else max(0, first - window + 1)
        yield _Block(slice(first, end), slice(earliest, end), window)
