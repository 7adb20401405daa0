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
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

NAME = "finetui_segments"
PROBE_LENGTHS = (8, 12)
EXACT, ROUNDED = 1e-3, 1e-1
"""Largest relative difference of a hidden state that rounding explains: in float32, and in 16 bits."""


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


def misjoined_because(model: Any) -> str:
    """Measured, where `unsupported_because` only reads: empty when rows joined give what each gives alone.

    Two short rows go through the model together, and each on its own with the model's plainest attention. Catches
    layers that carry state from row to row and attention that does not come through transformers' interface.
    """
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    size = model.get_input_embeddings().num_embeddings
    rows = [[(7 * place + 3 * length) % size for place in range(length)] for length in PROBE_LENGTHS]
    joined = {name: _on(value, model.device) for name, value in collate([{"input_ids": row} for row in rows]).items()}
    del joined["labels"]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            together = model.get_decoder()(**joined, use_cache=False).last_hidden_state[0].float()
            model.set_attn_implementation("eager")
            alone = [model.get_decoder()(torch.tensor([row], device=model.device), use_cache=False) for row in rows]
            model.set_attn_implementation(NAME)
    except ValueError as refusal:  # some layers know that they would mix rows, and say so
        return str(refusal).rstrip(".")
    finally:
        model.train(was_training)
    expected = torch.cat([output.last_hidden_state[0] for output in alone])
    difference = float(((together - expected).norm(dim=-1) / expected.float().norm(dim=-1)).max())
    exact = expected.dtype == torch.float32 and not getattr(model, "is_quantized", False)
    if difference <= (EXACT if exact else ROUNDED):
        return ""
    return f"joined rows come out {difference:.0%} different from the same rows alone"


def _on(value: Any, device: torch.device) -> Any:
    return value.to(device) if torch.is_tensor(value) else value


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
    if key.shape[1] != query.shape[1]:
        repeats = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    if attention_mask is not None or query.shape[2] != key.shape[2]:
        masked = scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
        )
        return masked.transpose(1, 2).contiguous(), None
    lengths = [query.shape[2]] if cu_seq_lens_q is None else cu_seq_lens_q.diff().tolist()
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


def _mask(
    batch_size: int, q_length: int, kv_length: int, *, attention_mask: torch.Tensor | None = None, **named: Any
) -> torch.Tensor | None:
    """No dense mask for joined or whole rows; the usual one where there is padding or a cache."""
    if attention_mask is None and q_length == kv_length:
        return None
    return sdpa_mask(batch_size, q_length, kv_length, attention_mask=attention_mask, **named)
