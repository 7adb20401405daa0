"""Rows joined without padding: the attention that keeps them apart, made known to transformers, and tried out.

Which one a plan takes: `finetui_segments` on a CPU (`segment_attention`), `varlen_attn` on cards that have torch's
kernel for it (`varlen_attention`), or an implementation that transformers brings. Not here: joining the rows (TRL's
padding-free collator does, and hands on `cu_seq_lens_q`).
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig
from transformers.masking_utils import sdpa_mask
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from engine.plan import Plan
from engine.training import segment_attention, varlen_attention
from engine.training.out_of_memory import out_of_memory
from engine.training.trial_pass import differing, trial_pass

PROBE_LENGTHS = (8, 12)


def register() -> None:
    """Make both implementations known to transformers; doing it twice is harmless."""
    AttentionInterface.register(segment_attention.NAME, segment_attention.segment_attention)
    AttentionMaskInterface.register(segment_attention.NAME, _mask)
    AttentionInterface.register(varlen_attention.NAME, varlen_attention.varlen_attention)
    AttentionMaskInterface.register(varlen_attention.NAME, _mask)


def implementation(plan: Plan) -> str:
    """The attention that the plan's model is loaded with, by the name that transformers knows."""
    joins_on_cpu = plan.padding_free and plan.device == "cpu" and plan.attn_implementation != "eager"
    return segment_attention.NAME if joins_on_cpu else plan.attn_implementation


def unsupported_because(config: PretrainedConfig, attn_implementation: str) -> str:
    """Why a model cannot be run with joined rows, empty when it can."""
    text = config.get_text_config()
    if getattr(text, "attn_logit_softcapping", None):
        return "the model caps attention scores"
    if "chunked_attention" in (getattr(text, "layer_types", None) or ()):
        return "the model attends in chunks"
    return varlen_attention.unsupported_because(text) if attn_implementation == varlen_attention.NAME else ""


def misjoined_because(model: Any, *, autocast: str = "none") -> str:
    """Measured, where `unsupported_because` only reads: empty when rows joined give what each gives alone.

    Two short rows go through the model together, and each on its own with the model's plainest attention. Catches
    layers that carry state from row to row, attention that does not come through transformers' interface, and a
    kernel that this card or build of torch does not have. `autocast` is the type that training computes in. Running
    out of memory passes through.
    """
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    size = model.get_input_embeddings().num_embeddings
    rows = [[(7 * place + 3 * length) % size for place in range(length)] for length in PROBE_LENGTHS]
    joined = {name: _on(value, model.device) for name, value in collate([{"input_ids": row} for row in rows]).items()}
    del joined["labels"]
    name, was_training = model.config._attn_implementation, model.training
    model.eval()
    try:
        together = trial_pass(model, autocast, **joined)
        model.set_attn_implementation("eager")
        alone = [trial_pass(model, autocast, input_ids=torch.tensor([row], device=model.device)) for row in rows]
        model.set_attn_implementation(name)
    except (ValueError, TypeError, RuntimeError) as refusal:
        # Some layers know that they would mix rows, and say so; so does a kernel that cannot run here.
        if out_of_memory(refusal) is not None:
            raise
        return next(iter(str(refusal).splitlines()), type(refusal).__name__).rstrip(".")
    finally:
        model.train(was_training)
    backs = [back for _, back in alone if back is not None]
    expected = torch.cat([states for states, _ in alone]), torch.cat(backs) if backs else None
    words = differing(model, together, expected, autocast)
    return f"joined rows come out {words} from the same rows alone" if words else ""


def _on(value: Any, device: torch.device) -> Any:
    return value.to(device) if torch.is_tensor(value) else value


def _mask(
    batch_size: int, q_length: int, kv_length: int, *, attention_mask: torch.Tensor | None = None, **named: Any
) -> torch.Tensor | None:
    """No dense mask for joined or whole rows; the usual one where there is padding or a cache."""
    if attention_mask is None and q_length == kv_length:
        return None
    return sdpa_mask(batch_size, q_length, kv_length, attention_mask=attention_mask, **named)
