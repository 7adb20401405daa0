"""Attention over rows joined without padding: each row attends to itself only.

Registered with transformers as `finetui_segments`. A dense block mask would compute every pair of rows and
throw most away (78 against 129 real tokens per CPU-second); here each row is one causal call. Not here:
joining the rows (TRL's padding-free collator does, and hands on `cu_seq_lens_q`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig
from transformers.masking_utils import sdpa_mask

NAME = "finetui_segments"


def register() -> None:
    """Make the implementation known to transformers; doing it twice is harmless."""
    AttentionInterface.register(NAME, segment_attention)
    AttentionMaskInterface.register(NAME, _mask)


def unsupported_because(config: PretrainedConfig) -> str:
    """Why a model cannot be run with it, empty when it can."""
    text = config.get_text_config()
    if getattr(text, "attn_logit_softcapping", None):
        return "the model caps attention scores"
    return ""


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

    Without `cu_seq_lens_q` it is plain sdpa with the mask given.
    """
    if key.shape[1] != query.shape[1]:
        repeats = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    if cu_seq_lens_q is None:
        causal = attention_mask is None and query.shape[2] > 1
        whole = scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, dropout_p=dropout, is_causal=causal, scale=scaling
        )
        return whole.transpose(1, 2).contiguous(), None
    lengths = cu_seq_lens_q.diff().tolist()
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
    distance = torch.arange(length)[:, None] - torch.arange(length)[None, :]
    mask = ((distance >= 0) & (distance < sliding_window)).to(query.device)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)


def _mask(*arguments: Any, **named: Any) -> torch.Tensor | None:
    """No dense mask for joined rows; the usual one where there is padding."""
    if named.get("attention_mask") is None:
        return None
    return sdpa_mask(*arguments, **named)
