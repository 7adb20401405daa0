"""A training loop written out by hand: what the work costs without any trainer around it.

`plain` pads, scores all logits and uses the model's own attention; otherwise attention over joined rows and the loss
are those that finetui picks on this device, so that what is left of a difference is the product's overhead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, get_linear_schedule_with_warmup
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from benchmarks.throughput_contenders.job import IGNORED, Job, Marks, read_rows

Loss = Callable[[Any, dict[str, Any]], torch.Tensor]


def run(job: Job, *, plain: bool) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    joins = not plain and device == "cpu"
    torch.manual_seed(job.seed)
    model = adapted(job, device, joins=joins)
    marks, rows = Marks(job), read_rows(job.rows)
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=joins)
    optimizer = torch.optim.AdamW(
        [each for each in model.parameters() if each.requires_grad], lr=job.learning_rate, weight_decay=0.0, fused=True
    )
    schedule = get_linear_schedule_with_warmup(optimizer, 0, job.total_steps)
    # accelerate's seeded sampler draws rows this way, so each step has the rows that it has in a trainer.
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(job.seed)).tolist()
    model.train()
    for step in range(job.total_steps):
        chosen = order[step * job.batch_size : (step + 1) * job.batch_size]
        collated = collate([rows[place] for place in sorted(chosen, key=lambda place: len(rows[place]["input_ids"]))])
        batch = {name: value.to(device) if torch.is_tensor(value) else value for name, value in collated.items()}
        marks.count(sum(len(rows[place]["input_ids"]) for place in chosen))
        with torch.autocast(device, torch.bfloat16):
            loss = (joined_loss if joins else full_loss)(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        marks.step()
    if job.saves:
        model.save_pretrained(job.adapter)


def adapted(job: Job, device: str, *, joins: bool) -> Any:
    """The base model in float32 with a fresh adapter, in bfloat16 on a card."""
    attention = "sdpa"
    if joins:
        from engine.training import joining, segment_attention

        joining.register()
        attention = segment_attention.NAME
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    base = AutoModelForCausalLM.from_pretrained(job.model, dtype=dtype, attn_implementation=attention)
    config = LoraConfig(r=job.r, lora_alpha=job.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(base.to(device), config)


def joined_loss(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """Mean over the labelled positions, through the decoder and the frozen head."""
    from engine.training.frozen_head_loss import frozen_head_loss

    base = model.get_base_model()
    passed = {name: value for name, value in batch.items() if name != "labels"}
    targets = batch["labels"][:, 1:]
    labelled = targets != IGNORED
    hidden = base.get_decoder()(**passed, use_cache=False).last_hidden_state[:, :-1]
    return frozen_head_loss(hidden[labelled], base.get_output_embeddings().weight, targets[labelled]) / labelled.sum()


def full_loss(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """Mean over the labelled positions, from the logits of all."""
    passed = {name: value for name, value in batch.items() if name != "labels"}
    logits = model(**passed, use_cache=False).logits[:, :-1].float()
    return cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=IGNORED)


if __name__ == "__main__":
    run(Job.read(sys.argv[1]), plain=sys.argv[2] == "plain")
