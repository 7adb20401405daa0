"""Attention over rows joined without padding: each row attends to itself only.

Known to transformers as `finetui_segments`. A dense block mask would compute every pair of rows and
throw most away (78 against 129 real tokens per CPU-second); here each row is attended by itself. Not here: the
products of a row (`row_attention`), making it known, and trying it out (`joining`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from engine.training.row_attention import row_attention

NAME = "finetui_segments"


def segment_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: torch.Tensor | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """query (1, heads, tokens, head_dim), key, value (1, kv_heads, tokens, head_dim) -> (1, tokens, heads, head_dim).

    Without `cu_seq_lens_q` it is sdpa with the mask given; without a mask either, every row is whole and causal.
    """
    lengths = [query.shape[2]] if cu_seq_lens_q is None else cu_seq_lens_q.diff().tolist()
    whole = attention_mask is None and query.shape[2] == key.shape[2]
    if whole and query.shape[0] == 1 and not dropout and query.device.type == "cpu":
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        return row_attention(query, key, value, lengths, scale, sliding_window), None
    if key.shape[1] != query.shape[1]:
        repeats = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    if not whole:
        masked = scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
        )
        return masked.transpose(1, 2).contiguous(), None
    rows = [
        _one_row(q, k, v, dropout, scaling, sliding_window)
        for q, k, v in zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    ]
    return torch.cat(rows, 2).transpose(1, 2).contiguous(), None


def _one_row(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dropout: float,
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    length = query.shape[2]
    if sliding_window is None or length <= sliding_window:
        return scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True, scale=scaling)
    place = torch.arange(length, device=query.device)
    distance = place[:, None] - place[None, :]
    mask = (distance >= 0) & (distance < sliding_window)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)
