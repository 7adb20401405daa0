"""How much memory a plan takes: a closed form, one readable term per line, no torch.

It is an estimate with theory coefficients and says so; the longest batch is taken to be full
(`max_length` tokens a row). Coefficients: activations and loss per token as stored by transformers +
PEFT + TRL 1.16, NF4 bytes as bitsandbytes 0.50 lays them out (both checked against real steps; see
each term). Not here: what becomes of the verdict (`plan`, `ladder`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.model_shape import ModelShape, Projection
from engine.units import format_bytes

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
SCORE_BYTES = 15
"""Per attention score while an eager layer goes backwards; rows of 2,048 and 4,096 tokens on a T4 gave 14.6 to 15.5."""
SCORE_BYTES_STORED = 6
"""Of these from the forward pass: the softmax in fp32, its 16-bit copy."""
OPTIMIZER_BYTES = {"adamw_8bit": 2.03, "paged_adamw_8bit": 2.03}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPrediction:
    """What one plan takes, term by term, and whether the plan's capacity holds it. All sizes in bytes."""

    terms: tuple[tuple[str, int], ...]
    """What is alive at the peak; the sum is `peak_bytes`."""
    peak_bytes: int
    """PyTorch's peak allocated of one optimizer step."""
    static_bytes: int
    """Of it what lies there between steps: weights, adapter, optimizer state."""
    reserved_low_bytes: int
    reserved_high_bytes: int
    """Range of what PyTorch's pool holds: it depends on the order of allocations."""
    outside_bytes: int
    """Taken outside the pool: CUDA context and libraries."""
    needed_bytes: int
    """Smallest capacity that survives: pool and what lies outside."""
    capacity_bytes: int
    verdict: str
    """fits, tight or will not fit."""
    reason: str
    """The verdict in one sentence."""
    method: str = "closed form"
    """closed form (an estimate) or dry run (the installed libraries' own step)."""
    closed_form_peak_bytes: int | None = None
    """The other method's figure, to compare, where the dry run was used."""
    calibration: str = ""
    """Which measurements scaled the transient part: how many, how old, by how much. Empty for none."""

    @staticmethod
    def from_json(raw: dict[str, Any]) -> MemoryPrediction:
        values = dict(raw)
        values["terms"] = tuple((str(name), int(size)) for name, size in values["terms"])
        return MemoryPrediction(**values)


Predictor = Callable[["Plan"], MemoryPrediction]
"""Whatever predicts: `closed_form` here, the dry run in `dry_runs`."""


def judge(needed_bytes: int, capacity_bytes: int) -> tuple[str, str]:
    """(verdict, reason): fits, tight or will not fit, and why in one sentence."""
    told = f"{format_bytes(needed_bytes)} of {format_bytes(capacity_bytes)}"
    if needed_bytes <= capacity_bytes * (1 - TIGHT_MARGIN):
        return "fits", f"needs {told}"
    if needed_bytes <= capacity_bytes:
        return "tight", f"needs {told}: less than {TIGHT_MARGIN:.0%} is left for what varies from run to run"
    return "will not fit", f"needs {told}"


def closed_form(shape: ModelShape) -> Predictor:
    """The closed form of one model as a predictor."""
    return lambda plan: predict(plan, shape)


def predict(plan: Plan, shape: ModelShape) -> MemoryPrediction:
    """Peak allocated bytes of one training step under this plan: the terms are those alive at that moment."""
    trained = trainable_parameters(plan, shape)
    trained_width = _trained_width(plan)
    static = {
        "weights": _weights(plan, shape),
        "adapter": 0 if plan.method == "full" else trained * trained_width,
        "optimizer state": int(trained * OPTIMIZER_BYTES.get(plan.optim, 2 * trained_width)),
    }
    gradients, stored = trained * trained_width, _stored(plan, shape)
    accumulates = plan.gradient_accumulation_steps > 1
    head = {
        "gradients": gradients if accumulates else 0,
        "activations": stored,
        "logits and loss": _loss(plan, shape),
    }
    # Without accumulation gradients only take the room of activations that the backward pass is done with.
    layer = {
        "gradients": gradients if accumulates else max(gradients - stored, 0),
        "activations": stored,
        "one layer backwards": _one_layer(plan, shape) + _temporaries(plan, shape),
    }
    moment = max(head, layer, key=lambda parts: sum(parts.values()))
    terms = tuple((static | moment).items())
    peak = sum(size for _, size in terms)
    outside = OUTSIDE_BYTES[plan.device.partition(":")[0]]
    verdict, reason = judge(peak + outside, plan.capacity_bytes)
    return MemoryPrediction(
        terms=terms,
        peak_bytes=peak,
        static_bytes=sum(static.values()),
        reserved_low_bytes=peak,
        reserved_high_bytes=peak,
        outside_bytes=outside,
        needed_bytes=peak + outside,
        capacity_bytes=plan.capacity_bytes,
        verdict=verdict,
        reason=reason,
    )


def trainable_parameters(plan: Plan, shape: ModelShape) -> int:
    """Parameters that get gradients: all of them, or r x (in + out) per adapted layer (and DoRA's magnitudes)."""
    if plan.method == "full":
        return shape.num_parameters
    per_layer = sum(
        plan.r * (num_in + num_out) + (num_out if plan.use_dora else 0) for _, num_in, num_out in _adapted(plan, shape)
    )
    return per_layer * shape.num_layers


def _adapted(plan: Plan, shape: ModelShape) -> tuple[Projection, ...]:
    """The projections of one layer that carry an adapter."""
    if plan.method == "full":
        return ()
    return tuple(p for p in shape.projections if plan.target_modules == "all-linear" or p.name in plan.target_modules)


def _dora_widens(plan: Plan, shape: ModelShape) -> bool:
    """DoRA's fp32 magnitudes turn the residual stream to fp32, unless only attention's inputs carry it."""
    inputs = {"q_proj", "k_proj", "v_proj", "qkv_proj"}
    return plan.use_dora and any(projection.name not in inputs for projection in _adapted(plan, shape))


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
    linear = shape.linear_parameters + shape.vision_linear_parameters
    return int(linear * quantized) + (shape.num_parameters - linear) * width


def _stored(plan: Plan, shape: ModelShape) -> int:
    """Kept from the forward to the backward pass: the input of every layer, or all that every layer computed."""
    if not plan.gradient_checkpointing:
        eager = SCORE_BYTES_STORED * _scores(plan, shape)
        return shape.num_layers * (_layer_activations(plan, shape) + eager)
    tokens = plan.per_device_train_batch_size * plan.max_length
    width = 4 if _dora_widens(plan, shape) or plan.dtype == "float32" else 2
    return shape.num_layers * tokens * shape.hidden_size * width


def _one_layer(plan: Plan, shape: ModelShape) -> int:
    """On top of what is stored, while one layer goes backwards: with checkpointing it is computed again first."""
    if plan.gradient_checkpointing:
        return _layer_activations(plan, shape) + SCORE_BYTES * _scores(plan, shape)
    return (SCORE_BYTES - SCORE_BYTES_STORED) * _scores(plan, shape)


def _layer_activations(plan: Plan, shape: ModelShape) -> int:
    query, key = shape.num_heads * shape.head_dim, shape.num_key_value_heads * shape.head_dim
    rank = 2 * plan.r * len(_adapted(plan, shape))
    per_token = 12 * shape.hidden_size + 4 * query + 4 * key + 8 * shape.intermediate_size + rank
    if _dora_widens(plan, shape) or plan.autocast == "none":
        per_token += 8 * shape.intermediate_size + 12 * shape.hidden_size  # residual stream and MLP turn fp32
    return plan.per_device_train_batch_size * plan.max_length * per_token


def _scores(plan: Plan, shape: ModelShape) -> int:
    """Attention scores of one layer that are held at once: all of them with eager attention, else none."""
    if plan.attn_implementation != "eager":
        return 0
    return plan.per_device_train_batch_size * shape.num_heads * plan.max_length**2


def _loss(plan: Plan, shape: ModelShape) -> int:
    """TRL's fused head and ours score the vocabulary in pieces; full logits are never held."""
    tokens = plan.per_device_train_batch_size * plan.max_length
    if plan.device == "cpu":
        return min(tokens, 256) * shape.vocab_size * 10 + 4 * tokens * shape.hidden_size
    return min(tokens * 32768 * 2, 256 * MIB) + 8 * tokens * shape.hidden_size


def _temporaries(plan: Plan, shape: ModelShape) -> int:
    """Dequantized weight of the largest layer; DoRA's identity matrix and four fp32 copies of an adapted weight."""
    size = 2 * max((p.num_weights for p in shape.projections), default=0) if plan.method == "qlora" else 0
    if plan.use_dora:
        adapted = _adapted(plan, shape)
        size += 2 * max((p.inputs for p in adapted), default=0) ** 2
        size += 16 * max((p.num_weights for p in adapted), default=0)
    return size
