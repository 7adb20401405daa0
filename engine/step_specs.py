"""From a plan to the question that a dry run answers: which rows, which kernels, which types the step will have.

No torch: what torch, TRL and PEFT would choose on the plan's device is written down here as rules. Not here: the
dry run (`training.dry_run`), asking for it (`dry_runs`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.dry_run_types import StepSpec

if TYPE_CHECKING:
    from engine.plan import Plan

FLASH_FROM = (8, 0)
"""torch's own flash kernel: Ampere and newer, 16-bit types, no mask (torch/aten sdp_utils.cpp)."""
EFFICIENT_FROM = (5, 0)
"""torch's memory-efficient kernel; bf16 only from Ampere on, fp16 and fp32 before."""
CUBLAS_WORKSPACE_BYTES = ((9, 0), 32 << 20), ((0, 0), 8_519_680)
"""(from this compute capability on, size): PyTorch's default workspace of cuBLAS, which lies in its pool."""
TRAINED_ROWS = tuple[tuple[int, int], ...]
"""(tokens, trained tokens) of each row."""
SHORTEST_ROW = 2
"""A row of one token has nothing to predict."""


def spec_of(plan: Plan) -> StepSpec:
    """The optimizer step of the plan's longest micro-batch, with the eval batch that follows it."""
    rows = train_rows(plan)
    lengths = tuple(max(tokens, SHORTEST_ROW) for tokens, _ in rows)
    labelled = sum(trained for _, trained in rows) if plan.rows else None
    kind = plan.device.partition(":")[0]
    return StepSpec(
        device=kind,
        method=plan.method,
        dtype=plan.dtype,
        autocast=plan.autocast,
        attention=attention_kernel(plan),
        double_quant=plan.double_quant,
        r=plan.r,
        lora_alpha=plan.lora_alpha,
        lora_dropout=plan.lora_dropout,
        target_modules=plan.target_modules,
        use_rslora=plan.use_rslora,
        use_dora=plan.use_dora,
        lean_dora=plan.use_dora and plan.lean_dora,
        adapter_dtype=adapter_dtype(plan),
        gradient_checkpointing=plan.gradient_checkpointing,
        selective_checkpointing=plan.gradient_checkpointing and plan.selective_checkpointing,
        activation_offloading=plan.activation_offloading,
        optim=plan.optim,
        loss=loss_kind(plan),
        row_lengths=lengths,
        num_labelled=labelled,
        padding_free=plan.padding_free,
        attention_mask=has_mask(plan),
        gradient_accumulation_steps=min(plan.gradient_accumulation_steps, 2),  # a third micro-batch adds nothing
        eval_row_lengths=tuple(max(tokens, SHORTEST_ROW) for tokens, _ in eval_rows(plan)),
        cublas_workspace_bytes=cublas_workspace_bytes(plan),
    )


def cublas_workspace_bytes(plan: Plan) -> int:
    """Of one thread on the plan's card."""
    capability = plan.compute_capability or FLASH_FROM
    return next(size for start, size in CUBLAS_WORKSPACE_BYTES if capability >= start)


def train_rows(plan: Plan) -> TRAINED_ROWS:
    """The rows of the largest micro-batch: the longest there are, or full ones before rows are tokenized.

    A pack counts as one row: it is joined with the others of its micro-batch, and its attention is no more than that.
    """
    if plan.packing and plan.rows is not None:
        return plan.rows.packs(plan.max_length).batch(plan.per_device_train_batch_size, plan.max_length)
    return _longest(plan, plan.per_device_train_batch_size)


def eval_rows(plan: Plan) -> TRAINED_ROWS:
    """The rows of the largest eval batch; none where nothing is held out. Taken to be as long as trained ones."""
    return _longest(plan, plan.per_device_eval_batch_size) if plan.has_eval else ()


def _longest(plan: Plan, num_rows: int) -> TRAINED_ROWS:
    if plan.rows is None:
        return ((plan.max_length, plan.max_length),) * num_rows
    return plan.rows.batch(num_rows, plan.max_length)


def has_mask(plan: Plan) -> bool:
    """Whether the largest batch is padded. transformers drops a mask that masks nothing."""
    return not plan.padding_free and len({tokens for tokens, _ in train_rows(plan)}) > 1


def attention_kernel(plan: Plan) -> str:
    """What computes attention: flash, varlen, efficient, math or eager on a card; native, segments, eager on a CPU."""
    if plan.attn_implementation == "eager":
        return "eager"
    if plan.device == "cpu":
        return "segments" if plan.padding_free else "native"
    if plan.attn_implementation == "varlen_attn" and plan.padding_free:
        return "varlen"
    if plan.attn_implementation == "flash_attention_2":
        return "flash"
    capability = plan.compute_capability or FLASH_FROM
    computed = plan.dtype if plan.autocast == "none" else plan.autocast
    if computed != "float32" and capability >= FLASH_FROM and not has_mask(plan):
        return "flash"
    if capability < EFFICIENT_FROM or (computed == "bfloat16" and capability < FLASH_FROM):
        return "math"
    return "efficient"


def loss_kind(plan: Plan) -> str:
    """fused: TRL's head in pieces; frozen_head: ours, on CPU with a whole, frozen head; plain: all logits."""
    if not plan.fused_loss:
        return "plain"
    has_frozen_head = plan.method != "full" and plan.strategy not in ("fsdp2", "zero3")
    return "frozen_head" if plan.device == "cpu" and has_frozen_head else "fused"


def adapter_dtype(plan: Plan) -> str:
    """PEFT keeps adapters in float32; TRL casts those of a 4-bit base to bfloat16, which a float16 scaler refuses."""
    return "bfloat16" if plan.method == "qlora" and plan.autocast != "float16" else "float32"
