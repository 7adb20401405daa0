"""How much memory a plan takes: a closed form, one readable term per line, no torch.

It is an estimate with theory coefficients and says so; the longest batch is taken to be full
(`max_length` tokens a row). Coefficients: activations and loss per token as stored by transformers +
PEFT + TRL 1.16, NF4 bytes as bitsandbytes 0.50 lays them out (both checked against real steps; see
each term). Not here: what becomes of the verdict (`plan`, `ladder`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.model_shape import ModelShape

if TYPE_CHECKING:
    from engine.plan import Plan

MIB = 1024**2
TIGHT_MARGIN = 0.05
"""Share of the capacity that must stay free for `fits`: 11 of 12 boundary runs on a T4 were judged right with it."""
NF4_BYTES = 0.5625
NF4_DOUBLE_QUANT_BYTES = 0.5159
OUTSIDE_BYTES = {"cuda": 157 * MIB, "cpu": 0}
"""CUDA context (141 MiB) and cuBLAS workspaces (2 x 8.1 MiB) on a T4, torch 2.10 and 2.14."""
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
OPTIMIZER_BYTES = {"adamw_8bit": 2.03, "paged_adamw_8bit": 2.03}


@dataclass(frozen=True, slots=True)
class MemoryPrediction:
    """Bytes by term, their peak, and whether the plan's capacity holds them."""

    terms: tuple[tuple[str, int], ...]
    peak_bytes: int
    outside_bytes: int
    capacity_bytes: int
    verdict: str
    """fits, tight or will not fit."""
    method: str = "closed form, an estimate"

    @staticmethod
    def from_json(raw: dict[str, Any]) -> MemoryPrediction:
        values = dict(raw)
        values["terms"] = tuple((str(name), int(size)) for name, size in values["terms"])
        return MemoryPrediction(**values)


def predict(plan: Plan, shape: ModelShape) -> MemoryPrediction:
    """Peak allocated bytes of one training step under this plan."""
    trained = trainable_parameters(plan, shape)
    trained_width = _trained_width(plan)
    static = {
        "weights": _weights(plan, shape),
        "adapter": 0 if plan.method == "full" else trained * trained_width,
        "optimizer state": int(trained * OPTIMIZER_BYTES.get(plan.optim, 2 * trained_width)),
    }
    transient = {
        "gradients": trained * trained_width,
        "activations": _activations(plan, shape),
        "logits and loss": _loss(plan, shape),
        "temporaries": _temporaries(plan, shape),
    }
    terms = tuple((static | transient).items())
    peak = sum(size for _, size in terms)
    kind = plan.device.partition(":")[0]
    outside = OUTSIDE_BYTES[kind]
    needed = peak + outside
    if needed <= plan.capacity_bytes * (1 - TIGHT_MARGIN):
        verdict = "fits"
    else:
        verdict = "tight" if needed <= plan.capacity_bytes else "will not fit"
    return MemoryPrediction(terms, peak, outside, plan.capacity_bytes, verdict)


def trainable_parameters(plan: Plan, shape: ModelShape) -> int:
    """Parameters that get gradients: all of them, or r x (in + out) per adapted layer (and DoRA's magnitudes)."""
    if plan.method == "full":
        return shape.num_parameters
    per_layer = 0
    for name, num_in, num_out in shape.projections:
        if plan.target_modules == "all-linear" or name in plan.target_modules:
            per_layer += plan.r * (num_in + num_out) + (num_out if plan.use_dora else 0)
    return per_layer * shape.num_layers


def _trained_width(plan: Plan) -> int:
    """Bytes per trained parameter: PEFT keeps adapters in fp32, TRL casts those of a 4-bit base to bf16."""
    if plan.method == "qlora" and plan.autocast != "float16":
        return 2
    return DTYPE_BYTES[plan.dtype] if plan.method == "full" else 4


def _weights(plan: Plan, shape: ModelShape) -> int:
    width = DTYPE_BYTES[plan.dtype]
    if plan.method != "qlora":
        return shape.num_parameters * width
    quantized = NF4_DOUBLE_QUANT_BYTES if plan.double_quant else NF4_BYTES
    rest = shape.num_parameters - shape.linear_parameters
    return int(shape.linear_parameters * quantized) + rest * width


def _activations(plan: Plan, shape: ModelShape) -> int:
    """Stored for the backward pass: one layer whole plus a checkpoint per layer, or every layer whole."""
    tokens = plan.per_device_train_batch_size * plan.max_length
    query, key = shape.num_heads * shape.head_dim, shape.num_key_value_heads * shape.head_dim
    rank = 0 if plan.method == "full" else plan.r
    per_token = 12 * shape.hidden_size + 4 * query + 4 * key + 8 * shape.intermediate_size + 14 * rank
    if plan.use_dora or plan.autocast == "none":
        per_token += 8 * shape.intermediate_size + 12 * shape.hidden_size  # residual stream and MLP turn fp32
    checkpoint = tokens * shape.hidden_size * (4 if plan.use_dora or plan.dtype == "float32" else 2)
    if plan.gradient_checkpointing:
        return shape.num_layers * checkpoint + tokens * per_token
    return shape.num_layers * tokens * per_token


def _loss(plan: Plan, shape: ModelShape) -> int:
    """TRL's fused head and ours score the vocabulary in pieces; full logits are never held."""
    tokens = plan.per_device_train_batch_size * plan.max_length
    if plan.device == "cpu":
        return min(tokens, 256) * shape.vocab_size * 10 + 4 * tokens * shape.hidden_size
    return min(tokens * 32768 * 2, 256 * MIB) + 8 * tokens * shape.hidden_size


def _temporaries(plan: Plan, shape: ModelShape) -> int:
    """Dequantized weight of the largest layer; DoRA's identity matrix and four fp32 copies of that weight."""
    largest = max((num_in * num_out for _, num_in, num_out in shape.projections), default=0)
    size = 2 * largest if plan.method == "qlora" else 0
    if plan.use_dora:
        widest = max((num_in for _, num_in, _ in shape.projections), default=0)
        size += 2 * widest**2 + 16 * largest
    return size
