"""The three ways from hidden states to a loss that a run may take, allocated as on the run's device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from trl.kernels import chunked_logprob
from trl.trainer import utils as trl_utils

from engine.training.dry_run.tracking import HiddenBytes, Tracker
from engine.training.frozen_head_loss import frozen_head_loss

_OUTPUTS = ("log_probs", "entropy", "is_top1")
"""What TRL's SFT trainer asks of its fused head."""
HIDDEN_BYTES: dict[Any, HiddenBytes] = {
    # exp(input - maximum), as large as the input, on any device.
    torch.ops.aten.logsumexp.default: lambda args, _named, _output: [args[0].numel() * args[0].element_size()],
}
"""Blocks that a loss holds only while one of its operators runs."""


@contextmanager
def card_head() -> Iterator[None]:
    """TRL's tiles are Triton kernels on a card: in place, without a tensor. Off a card they allocate copies."""
    kept = chunked_logprob._forward_tile, chunked_logprob._backward_tile, chunked_logprob._addmm_fp32
    chunked_logprob._forward_tile = chunked_logprob._backward_tile = lambda *_, **__: None
    chunked_logprob._addmm_fp32 = lambda *_: None
    try:
        yield
    finally:
        chunked_logprob._forward_tile, chunked_logprob._backward_tile, chunked_logprob._addmm_fp32 = kept


@dataclass(frozen=True, slots=True)
class Batch:
    """What the model is given. `labels` is (rows, tokens); `num_labelled` positions of it count in the loss."""

    inputs: dict[str, Any]
    labels: torch.Tensor
    num_labelled: int

    def places(self, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Indices (rows, columns) into `targets` of the positions that count.

        The real code selects by mask; how many that gives cannot be known from tensors without values.
        """
        count = min(self.num_labelled, targets.numel())
        return torch.zeros(count, dtype=torch.long), torch.zeros(count, dtype=torch.long)


def base_of(model: Any) -> Any:
    """The transformers model, inside its adapter if it has one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def plain_loss(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, Any]:
    """transformers' own loss over all logits, and the output that a plain loop keeps until the next step."""
    output = model(**batch.inputs, labels=batch.labels, use_cache=False)
    return output.loss, output


def fused_loss(model: nn.Module, batch: Batch, tracker: Tracker, *, on_card: bool) -> torch.Tensor:
    """TRL's fused head, step by step as trl.trainer.utils.add_fused_lm_head; on a card it scores labels only."""
    base = base_of(model)
    text = base.config.get_text_config()
    hidden = base.base_model(**batch.inputs, use_cache=False).last_hidden_state[:, :-1]
    with tracker.scope("logits and loss"):
        targets = batch.labels[:, 1:]
        mask = targets != -100
        if on_card:
            places = batch.places(targets)
            states, wanted = hidden[places], targets[places]
            del places
        else:
            states, wanted = hidden.reshape(-1, hidden.size(-1)), targets.clamp(min=0).reshape(-1)
        head = base.get_output_embeddings()
        scored = chunked_logprob.ChunkedLogProbFunction.apply(
            *(states, head.weight, head.bias, wanted, 1.0, trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE),
            *(getattr(text, "final_logit_softcapping", None), 1.0, _OUTPUTS),
        )
        del states, wanted
        if on_card:
            rows = [None if s is None else s.new_zeros(mask.shape).masked_scatter(mask, s) for s in scored]
        else:
            rows = [None if s is None else s.view(mask.shape).masked_fill(~mask, 0) for s in scored]
        log_probs = rows[0]
        assert log_probs is not None
        loss: torch.Tensor = (-log_probs).sum() / mask.sum().clamp(min=1)
        return loss


def frozen_loss(model: nn.Module, batch: Batch, tracker: Tracker) -> torch.Tensor:
    """engine.training.frozen_head_loss over the positions that count, as RunTrainer.compute_loss calls it."""
    base = base_of(model)
    hidden = base.get_decoder()(**batch.inputs, use_cache=False).last_hidden_state[:, :-1]
    with tracker.scope("logits and loss"):
        targets = batch.labels[:, 1:]
        labelled = targets != -100
        places = batch.places(targets)
        total = frozen_head_loss(hidden[places], base.get_output_embeddings().weight, targets[places])
        return total / labelled.sum().clamp(min=1)
