"""Attention over rows joined without padding on a card: torch's own variable-length flash kernel.

`varlen_attn` is part of torch (2.13), so no package is installed and nothing is compiled; it wants compute capability
8.0, 16-bit numbers and heads of at most 256. A call that is not of that kind goes through sdpa: with the mask it was
given, or row by row. Not here: making it known to transformers and trying it on the device (`joining`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.attention import varlen
from torch.nn.functional import scaled_dot_product_attention
from transformers import PretrainedConfig

from engine.training.segment_attention import segment_attention

NAME = "varlen_attn"
LARGEST_HEAD, HEAD_STEP = 256, 8
"""torch's flash kernel (aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp, mha_varlen_fwd)."""
DEVICE = "cuda"
HALVES = (torch.bfloat16, torch.float16)


def varlen_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    sliding_window: int | None = None,
    **named: Any,
) -> tuple[torch.Tensor, None]:
    """query (batch, heads, tokens, head_dim), key, value (batch, kv_heads, tokens, head_dim) in the order of
    transformers -> (batch, tokens, heads, head_dim).

    `cu_seq_lens_q` are the rows' ends in a batch of one line; without it every line is a row. Raises ValueError for
    joined rows of several lines.
    """
    query, key, value = _computed(query, key, value)
    if attention_mask is not None or query.shape[2] != key.shape[2] or not getattr(module, "is_causal", True):
        return _masked(query, key, value, attention_mask, scaling, dropout), None
    if cu_seq_lens_q is not None and query.shape[0] != 1:
        raise ValueError(f"joined rows come in one line, not in {query.shape[0]}")
    if not _takes(query, value, dropout):
        named |= {"cu_seq_lens_q": cu_seq_lens_q, "sliding_window": sliding_window, "max_length_q": max_length_q}
        return segment_attention(module, query, key, value, None, scaling, dropout, **named)
    lines, _, length, _ = query.shape
    if cu_seq_lens_q is None:
        longest = length
        ends = torch.arange(0, (lines + 1) * length, length, dtype=torch.int32, device=query.device)
    else:
        ends = cu_seq_lens_q
        longest = int(ends.diff().max()) if max_length_q is None else max_length_q
    return of_rows(query, key, value, ends, longest, scaling, sliding_window), None


def of_rows(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    longest: int,
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    """The kernel's call: (batch, heads, tokens, head_dim) with rows that end at `ends` (int32, from 0 on)."""
    attended: Any = varlen.varlen_attn(
        _in_a_row(query),
        _in_a_row(key),
        _in_a_row(value),
        ends,
        ends,
        longest,
        longest,
        scale=scaling,
        window_size=(-1, 0) if sliding_window is None else (sliding_window - 1, 0),
        enable_gqa=key.shape[1] != query.shape[1],
    )
    lines, heads, length, head_dim = query.shape
    seen: torch.Tensor = attended.view(lines, length, heads, head_dim)
    return seen


def _computed(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """In autocast's type, which torch gives its own attention and not to this kernel."""
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return list(tensors)
    return [tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors]


def unsupported_because(text: PretrainedConfig) -> str:
    """Why a model's heads are not for the kernel, empty when they are. `text` configures the language model."""
    heads = getattr(text, "num_attention_heads", None) or 1
    widths = [getattr(text, name, None) for name in ("head_dim", "global_head_dim", "v_head_dim", "qk_head_dim")]
    told = [width for width in widths if width] or [text.hidden_size // heads]
    if max(told) > LARGEST_HEAD:
        return f"torch's kernel takes heads of {LARGEST_HEAD} numbers, and the model's have {max(told)}"
    return ""


def _takes(query: torch.Tensor, value: torch.Tensor, dropout: float) -> bool:
    """Whether the kernel takes such heads and numbers; it drops nothing out."""
    head_dim = query.shape[3]
    fits = head_dim <= LARGEST_HEAD and head_dim % HEAD_STEP == 0 and value.shape[3] == head_dim
    return query.device.type == DEVICE and query.dtype in HALVES and fits and dropout == 0.0


def _in_a_row(tensor: torch.Tensor) -> torch.Tensor:
    """(batch, heads, tokens, head_dim) -> (batch x tokens, heads, head_dim)."""
    return tensor.transpose(1, 2).flatten(0, 1)


def _masked(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    dropout: float,
) -> torch.Tensor:
    """Every line by itself, with what its mask lets it see; all of it without one."""
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    attended = scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)
    return attended.transpose(1, 2).contiguous()
