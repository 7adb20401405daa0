"""How much memory a plan takes: what a prediction says, and the closed form, one readable term per line, no torch.

The closed form is an estimate with theory coefficients and says so; the dry run (`dry_runs`) replaces it. The
longest batch is made of the longest rows there are, or of full ones (`max_length` tokens). Coefficients:
activations and loss per token as stored by transformers + PEFT + TRL 1.16, NF4 bytes as bitsandbytes 0.50 lays
them out (both checked against real steps; see each term). Not here: what becomes of the verdict (`plan`, `ladder`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.allocator import needed_on_cpu
from engine.dry_run_types import TERMS
from engine.model_shape import ModelShape, Projection
from engine.step_specs import (
    TRAINED_ROWS,
    adapter_dtype,
    attention_kernel,
    cublas_workspace_bytes,
    eval_rows,
    loss_kind,
    train_rows,
)
from engine.units import MIB, format_bytes

if TYPE_CHECKING:
    from engine.plan import Plan

TIGHT_MARGIN = 0.05
"""Share of the capacity that must stay free for `fits`: 11 of 12 boundary runs on a T4 were judged right with it."""
NF4_BLOCK = 64
"""4-bit weights that share a scale; bytes as bitsandbytes 0.50 lays them out, checked to the byte."""
NF4_SAMPLE = 1 << 24
"""Weights in a tensor large enough that its scales cost as much per weight as those of any other."""
QUANTIZING_SHARE = 1.3
"""Of the files' size, what they and the copies between 16 and 4 bits take: 1.26 with two layers of 4096 x 11008."""
EIGHT_BIT_STATE_BYTES = 2.03
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
SCORE_BYTES = 15
"""Per attention score while an eager layer goes backwards; rows of 2,048 and 4,096 tokens on a T4 gave 14.6 to 15.5."""
SCORE_BYTES_STORED = 6
"""Of these from the forward pass: the softmax in fp32, its 16-bit copy."""
TILE_TOKENS, TILE_WORDS = 4096, 32768
"""TRL's fused head scores so many tokens against so many words at once; off a card in seven fp32 tiles."""
FROZEN_HEAD_POSITIONS = 256
"""Positions whose logits our own loss makes at once (`training.frozen_head_loss`)."""
FROZEN_HEAD_PIECE = 16
"""Of these, how many it works on in float32 at once, with one temporary of the same size."""
KEPT_WHEN_OFFLOADING = 5
"""Layers whose activations TRL's offloading keeps on the card, in transit."""
RESERVED_OF_ALLOCATED = 1.13
"""Median of reserved / allocated over 52 runs on a T4; the dry run replays the allocator instead."""
CONTEXTS: tuple[tuple[tuple[int, int], int], ...] = (((9, 0), 512 * MIB), ((8, 0), 400 * MIB), ((0, 0), 141 * MIB))
"""(from this compute capability on, size of a CUDA context). 141 MiB: a T4 under torch 2.10 and 2.14. 400 MiB: the
"around 400MB" of pytorch issue 109888 for lazily loaded kernels (a bare one on an RTX 3090 takes 256 MiB, InvokeAI
issue 9413). Hopper and newer are not measured: 512 MiB lies on the safe side."""


def outside_bytes(device: str, compute_capability: tuple[int, int] | None) -> int:
    """What a process takes on the device outside PyTorch's pool: the CUDA context."""
    if device == "cpu":
        return 0
    capability = compute_capability or (8, 0)
    return next(size for start, size in CONTEXTS if capability >= start)


def needed_bytes(plan: Plan, held_bytes: int, terms: tuple[tuple[str, int], ...]) -> int:
    """Smallest capacity for tensors that need `held_bytes`: of PyTorch's pool on a card, of RAM on a CPU.

    Under a cap on a CPU the files of the weights count too while these are loaded into another type.
    """
    if plan.device != "cpu":
        return held_bytes + outside_bytes(plan.device, plan.compute_capability)
    return needed_on_cpu(held_bytes, load_bytes=load_bytes(plan, terms) if plan.enforce_limit else 0)


def load_bytes(plan: Plan, terms: tuple[tuple[str, int], ...]) -> int:
    """What lies in a CPU's memory when the last weight is loaded, files in another type and copies included.

    The files are taken to hold 16 bits a weight, as nearly all published models do; for 4 bits made of float32, which
    a converted GGUF file may hold, as much as the plan's type.
    """
    sizes = dict(terms)
    weights, overhead = sizes.get("weights", 0), sizes.get("quantization overhead", 0)
    if plan.method == "qlora":
        four_bit = overhead * NF4_SAMPLE / scale_bytes(NF4_SAMPLE, plan.double_quant)
        others = max(weights - four_bit / 2, 0) / DTYPE_BYTES[plan.dtype]
        files = max(QUANTIZING_SHARE * 2, DTYPE_BYTES[plan.dtype]) * (four_bit + others)
        return int(weights + overhead + files)
    return int(weights * 1.5) if plan.dtype == "float32" else weights


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPrediction:
    """What one plan takes, term by term, and whether the plan's capacity holds it. All sizes in bytes."""

    terms: tuple[tuple[str, int], ...]
    """What is alive at the peak; the sum is `peak_bytes`."""
    peak_bytes: int
    """PyTorch's peak allocated of one optimizer step, or of an eval batch where that is larger."""
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
    source: str = ""
    """Where it comes from in words: the libraries of a dry run, or why there is none."""
    closed_form_peak_bytes: int | None = None
    """The other method's figure, to compare, where the dry run was used."""
    transient_scale: float = 1.0
    """What measurements on this machine multiplied the transient part by."""
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
    """The closed form of one model as a predictor, of each process where a plan has several."""
    from engine.ranks.rank_memory import per_rank  # which is built on this module

    return per_rank(lambda plan: predict(plan, shape), shape)


def predict(plan: Plan, shape: ModelShape) -> MemoryPrediction:
    """Peak allocated bytes of one step, or of an eval batch: the terms are those alive at the largest moment."""
    static = _static(plan, shape)
    moments = (_head(plan, shape), _layer(plan, shape), _update(plan, shape), _eval(plan, shape))
    moment = max(moments, key=lambda parts: sum(parts.values()))
    alive = static | moment
    if plan.device != "cpu":  # forward and backward thread each hold a workspace of cuBLAS
        alive["temporaries"] = alive.get("temporaries", 0) + 2 * cublas_workspace_bytes(plan)
    terms = tuple((name, alive.get(name, 0)) for name in TERMS)
    peak = sum(size for _, size in terms)
    outside = outside_bytes(plan.device, plan.compute_capability)
    needed = needed_bytes(plan, peak, terms)
    verdict, reason = judge(needed, plan.capacity_bytes)
    return MemoryPrediction(
        terms=terms,
        peak_bytes=peak,
        static_bytes=sum(static.values()),
        reserved_low_bytes=peak,
        reserved_high_bytes=int(peak * RESERVED_OF_ALLOCATED) if plan.device != "cpu" else peak,
        outside_bytes=outside,
        needed_bytes=needed,
        capacity_bytes=plan.capacity_bytes,
        verdict=verdict,
        reason=reason,
    )


def trainable_parameters(plan: Plan, shape: ModelShape) -> int:
    """Parameters that get gradients: all of them, or r x (in + out) per adapted layer (and DoRA's magnitudes)."""
    if plan.method == "full":
        return shape.num_parameters
    adapted = adapted_projections(plan, shape)
    matrices = sum(plan.r * (projection.inputs + projection.outputs) for projection in adapted)
    return (matrices + _magnitudes(plan, adapted)) * shape.num_layers


def adapted_projections(plan: Plan, shape: ModelShape) -> tuple[Projection, ...]:
    """The projections of one layer that carry an adapter."""
    if plan.method == "full":
        return ()
    return tuple(p for p in shape.projections if plan.target_modules == "all-linear" or p.name in plan.target_modules)


def _magnitudes(plan: Plan, adapted: tuple[Projection, ...]) -> int:
    return sum(projection.outputs for projection in adapted) if plan.use_dora else 0


def _trained_bytes(plan: Plan, shape: ModelShape) -> int:
    """All trained parameters once, in their own types; DoRA's magnitudes stay float32."""
    if plan.method == "full":
        return shape.num_parameters * DTYPE_BYTES[plan.dtype]
    wide = _magnitudes(plan, adapted_projections(plan, shape)) * shape.num_layers
    return (trainable_parameters(plan, shape) - wide) * DTYPE_BYTES[adapter_dtype(plan)] + wide * 4


def _static(plan: Plan, shape: ModelShape) -> dict[str, int]:
    """What lies there between two steps."""
    width, trained = DTYPE_BYTES[plan.dtype], _trained_bytes(plan, shape)
    weights, overhead = shape.num_parameters * width, 0
    if plan.method == "qlora":
        linear = shape.linear_parameters + shape.vision_linear_parameters
        weights = linear // 2 + (shape.num_parameters - linear) * width
        vision = shape.vision_linear_parameters
        overhead = shape.num_layers * sum(scale_bytes(p.num_weights, plan.double_quant) for p in shape.projections)
        overhead += scale_bytes(vision, plan.double_quant) if vision else 0
    eight_bit = "8bit" in plan.optim
    pages = plan.optim.startswith("paged") and plan.device != "cpu"
    state = int(trainable_parameters(plan, shape) * EIGHT_BIT_STATE_BYTES) if eight_bit else 2 * trained
    return {
        "weights": weights,
        "quantization overhead": overhead,
        "adapter": 0 if plan.method == "full" else trained,
        "optimizer state": 0 if pages else state,
    }


def scale_bytes(num_weights: int, double_quant: bool) -> int:
    """Bytes that 4-bit weights need beside their codes: one scale per 64, with double_quant in 8 bits."""
    blocks = -(-num_weights // NF4_BLOCK)
    return blocks + 4 * -(-blocks // 256) + 1092 if double_quant else 4 * blocks + 64


def _head(plan: Plan, shape: ModelShape) -> dict[str, int]:
    """The moment between forward and backward pass, when the loss is worked out."""
    return {
        "gradients": _trained_bytes(plan, shape) if plan.gradient_accumulation_steps > 1 else 0,
        "activations": _stored(plan, shape),
        "logits and loss": _loss(plan, shape, _num_tokens(plan, train_rows(plan)), learns=True),
    }


def _layer(plan: Plan, shape: ModelShape) -> dict[str, int]:
    """The moment when the first layer to go backwards (or the last) has all that it needs."""
    stored, gradients = _stored(plan, shape), _trained_bytes(plan, shape)
    # Without accumulation gradients only take the room of activations that the backward pass is done with.
    accumulates = plan.gradient_accumulation_steps > 1
    return {
        "gradients": gradients if accumulates else max(gradients - stored, 0),
        "activations": stored,
        "temporaries": _one_layer(plan, shape) + _weight_copies(plan, shape),
    }


def _update(plan: Plan, shape: ModelShape) -> dict[str, int]:
    """The optimizer's step. `adamw_torch` on a card handles all tensors at once and needs one more of each."""
    trained = _trained_bytes(plan, shape)
    at_once = plan.optim == "adamw_torch" and plan.device != "cpu"
    return {"gradients": trained, "temporaries": trained if at_once else 0}


def _eval(plan: Plan, shape: ModelShape) -> dict[str, int]:
    """An eval batch: nothing is kept for a backward pass, one layer's intermediate results are."""
    tokens = _num_tokens(plan, eval_rows(plan))
    widths = 3 if plan.method == "full" else 5 if plan.use_dora else 4
    if _dora_widens(plan, shape):
        widths = 12
    width = 4 if plan.autocast == "none" and plan.dtype == "float32" else 2
    layer = tokens * width * (widths * shape.intermediate_size + 4 * shape.hidden_size)
    return {
        "logits and loss": _loss(plan, shape, tokens, learns=False),
        "temporaries": layer + _weight_copies(plan, shape) if tokens else 0,
    }


def _num_tokens(plan: Plan, rows: TRAINED_ROWS) -> int:
    """Tokens that a batch computes, padding included."""
    lengths = [tokens for tokens, _ in rows]
    return sum(lengths) if plan.padding_free else len(lengths) * max(lengths, default=0)


def _dora_widens(plan: Plan, shape: ModelShape) -> bool:
    """PEFT's fp32 magnitudes turn the residual stream to fp32, unless only attention's inputs carry them."""
    inputs = {"q_proj", "k_proj", "v_proj", "qkv_proj"}
    stock = plan.use_dora and not plan.lean_dora
    return stock and any(projection.name not in inputs for projection in adapted_projections(plan, shape))


def _stored(plan: Plan, shape: ModelShape) -> int:
    """Kept from the forward to the backward pass: the input of every layer, or all that every layer computed."""
    if plan.gradient_checkpointing:
        width = 4 if _dora_widens(plan, shape) or plan.dtype == "float32" else 2
        layer = _num_tokens(plan, train_rows(plan)) * (shape.hidden_size * width + _kept_attention(plan, shape))
    else:
        layer = _layer_activations(plan, shape) + SCORE_BYTES_STORED * _scores(plan, shape)
        layer += _cast_weights(plan, shape)
    return layer * (min(shape.num_layers, KEPT_WHEN_OFFLOADING) if plan.activation_offloading else shape.num_layers)


def _kept_attention(plan: Plan, shape: ModelShape) -> int:
    """Per token and layer, what selective checkpointing keeps: attention's results and its row sums in float32."""
    if not plan.selective_checkpointing or attention_kernel(plan) in ("eager", "math"):
        return 0
    width = 4 if plan.autocast == "none" and plan.dtype == "float32" else 2
    return shape.num_heads * (shape.head_dim * width + 4)


def _one_layer(plan: Plan, shape: ModelShape) -> int:
    """On top of what is stored, while one layer goes backwards: with checkpointing it is computed again first."""
    if plan.gradient_checkpointing:
        again = _layer_activations(plan, shape) + _cast_weights(plan, shape)
        return again + SCORE_BYTES * _scores(plan, shape)
    return (SCORE_BYTES - SCORE_BYTES_STORED) * _scores(plan, shape)


def _cast_weights(plan: Plan, shape: ModelShape) -> int:
    """Autocast's 16-bit copies of one layer's fp32 weights: the backward pass multiplies by them."""
    if plan.dtype != "float32" or plan.autocast == "none" or plan.method == "qlora":
        return 0
    return 2 * sum(projection.num_weights for projection in shape.projections)


def _layer_activations(plan: Plan, shape: ModelShape) -> int:
    query, key = shape.num_heads * shape.head_dim, shape.num_key_value_heads * shape.head_dim
    adapted = adapted_projections(plan, shape)
    per_token = (4 + 4 * shape.norms_per_layer) * shape.hidden_size + 4 * query + 4 * key
    per_token += 8 * shape.intermediate_size + (4 * (query + key) if shape.has_query_key_norms else 0)
    per_token += 2 * plan.r * len(adapted)
    if _dora_widens(plan, shape) or plan.autocast == "none":
        per_token += 8 * shape.intermediate_size + 12 * shape.hidden_size  # residual stream and MLP turn fp32
    elif plan.use_dora:
        per_token += 2 * _magnitudes(plan, adapted)  # the base's result, beside the one that DoRA rescales
    return _num_tokens(plan, train_rows(plan)) * per_token


def _scores(plan: Plan, shape: ModelShape) -> int:
    """Attention scores of one layer that are held at once: all of them without a kernel that makes them in pieces."""
    if attention_kernel(plan) not in ("eager", "math"):
        return 0
    lengths = [tokens for tokens, _ in train_rows(plan)]
    return len(lengths) * shape.num_heads * max(lengths) ** 2


def _loss(plan: Plan, shape: ModelShape, tokens: int, *, learns: bool) -> int:
    """Logits and what is worked out from them, for a batch of `tokens` tokens."""
    sixteen_bit = plan.autocast != "none" or plan.dtype != "float32"
    match loss_kind(plan):
        case "plain":
            per_logit = (14 if sixteen_bit else 16) if learns else (10 if sixteen_bit else 12)
            return tokens * shape.vocab_size * per_logit
        case "frozen_head":
            cast = 2 * shape.embedding_parameters if plan.dtype == "float32" and plan.autocast != "none" else 0
            positions = min(tokens, FROZEN_HEAD_POSITIONS) * (2 if sixteen_bit else 4)
            pieces = (positions + min(tokens, FROZEN_HEAD_PIECE) * 8) * shape.vocab_size
            return pieces + 4 * tokens * shape.hidden_size + (cast if tokens else 0)
    tile = min(tokens, TILE_TOKENS) * min(TILE_WORDS, shape.vocab_size)
    head_gradient = 4 * shape.embedding_parameters if learns and plan.method == "full" else 0
    states = (8 if learns else 2) * tokens * shape.hidden_size
    return (2 if plan.device != "cpu" else 7 * 4) * tile + states + head_gradient


def _weight_copies(plan: Plan, shape: ModelShape) -> int:
    """Dequantized weight of the largest layer; DoRA's identity matrix and four fp32 copies of an adapted weight."""
    size = 2 * max((p.num_weights for p in shape.projections), default=0) if plan.method == "qlora" else 0
    if plan.use_dora and not plan.lean_dora:
        adapted = adapted_projections(plan, shape)
        size += 2 * max((p.inputs for p in adapted), default=0) ** 2
        size += 16 * max((p.num_weights for p in adapted), default=0)
    return size
