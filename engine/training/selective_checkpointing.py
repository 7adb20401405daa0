"""Checkpointing that keeps what attention computed and computes the rest again in the backward pass.

What TRL's `selective` does, with two things it does not know: torch's variable-length attention, and a model inside an
adapter. Not here: whether a plan wants it, and how much memory it takes (`dry_run`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.nn.attention import varlen  # noqa: F401 - importing it defines torch_attn::_varlen_attn
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

_ATTENTION = {
    *(
        getattr(torch.ops.aten, name).default
        for name in (
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_flash_attention_for_cpu",
        )
    ),
    torch.ops.torch_attn._varlen_attn.default,
}


def keep_attention(model: Any) -> None:
    """From now on `model`, a base model, checkpoints that way when checkpointing is turned on. TRL leaves it so."""

    def enable(_asked: Any = None, *, gradient_checkpointing_kwargs: Any = None, **named: Any) -> None:
        del gradient_checkpointing_kwargs  # they say no more than that it is this kind
        contexts = partial(create_selective_checkpoint_contexts, _policy)
        model._activation_checkpointing_enable({"use_reentrant": False, "context_fn": contexts}, **named)

    enable._is_sac_wrapped = True  # type: ignore[attr-defined]
    model.gradient_checkpointing_enable = enable


def _policy(_context: Any, operator: Any, *_: Any, **__: Any) -> CheckpointPolicy:
    kept = operator in _ATTENTION or "flash_attn" in str(operator)
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE
