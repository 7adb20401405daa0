"""What each of several processes takes in memory: a prediction for one device, turned into one rank's, term by term.

ddp adds buckets in which gradients travel: as large as all gradients together, since neither accelerate nor
transformers sets `gradient_as_bucket_view` (torch.nn.parallel.DistributedDataParallel: "the saved memory size will be
equal to the total gradients size"). fsdp2 and zero3 divide what lies there between steps, and gather what computes:
derived from how `fully_shard` works (docs.pytorch.org, torch.distributed.fsdp.fully_shard; accelerate's
`fsdp2_prepare_model` for its units), not measured on cards. Not here: the prediction for one device (`memory`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.memory import DTYPE_BYTES, MemoryPrediction, Predictor, judge
from engine.model_shape import ModelShape

if TYPE_CHECKING:
    from engine.plan import Plan

DIVIDED = ("weights", "adapter", "gradients", "optimizer state")
"""Terms of which each rank holds a part. Scales of 4-bit weights are no parameters: every rank keeps all of them."""
BUCKETS, GATHERED = "gradient buckets", "gathered layers"
LAYERS_AT_ONCE = 3
"""The layer that computes, the next one on its way, and the buffer it arrives in, from which it is copied out."""
DERIVED = "one rank's part is derived, not measured"


def per_rank(predictor: Predictor, shape: ModelShape | None) -> Predictor:
    """A predictor of one device's memory as one of each rank's."""
    return lambda plan: on_each(predictor(plan), plan, shape)


def on_each(memory: MemoryPrediction, plan: Plan, shape: ModelShape | None) -> MemoryPrediction:
    """What one rank of the plan takes; `memory` itself where there is one. Without `shape` layers are not known:
    a rank that holds a part of the model counts as gathering all of it."""
    if plan.world_size == 1:
        return memory
    sizes = dict(memory.terms)
    if plan.strategy == "ddp":
        sizes[BUCKETS] = trained_bytes(memory, plan)
        return _with(memory, plan, sizes, memory.static_bytes)
    parts = plan.world_size
    gathered = _gathered_bytes(memory, plan, shape)
    static = ("weights", "adapter", "optimizer state")
    saved = sum(sizes.get(name, 0) - -(-sizes.get(name, 0) // parts) for name in static)
    whole = sum(sizes.get(name, 0) for name in ("weights", "quantization overhead", "adapter"))
    sizes |= {name: -(-sizes[name] // parts) for name in DIVIDED if name in sizes}
    sizes[GATHERED] = gathered
    found = _with(memory, plan, sizes, memory.static_bytes - saved)
    source = f"{memory.source}; {DERIVED}" if memory.source else DERIVED
    if plan.device != "cpu":
        return replace(found, source=source)
    # Each process loads the whole model into the RAM that it also trains in.
    needed = max(found.needed_bytes, whole)
    verdict, reason = judge(needed, plan.capacity_bytes)
    return replace(found, source=source, needed_bytes=needed, verdict=verdict, reason=reason)


def trained_bytes(memory: MemoryPrediction, plan: Plan) -> int:
    """All gradients together: as large as what is trained."""
    return dict(memory.terms).get("weights" if plan.method == "full" else "adapter", 0)


def _gathered_bytes(memory: MemoryPrediction, plan: Plan, shape: ModelShape | None) -> int:
    """What is whole on a rank while it computes: some layers, the head from its use to its gradient, gradients of a
    layer before they are divided (once in the type of computing, once in float32 to be summed)."""
    if shape is None:
        return dict(memory.terms).get("weights", 0)
    width = 2.0 if plan.autocast != "none" else float(DTYPE_BYTES[plan.dtype])
    layer = sum(projection.num_weights for projection in shape.projections)
    codes = layer / 2 if plan.method == "qlora" else layer * width
    trained = layer if plan.method == "full" else trained_bytes(memory, plan) / 4 / max(shape.num_layers, 1)
    head = shape.embedding_parameters * width
    head_gradient = shape.embedding_parameters * (width + 4) if plan.method == "full" else 0
    return int(LAYERS_AT_ONCE * codes + head + max(trained * (width + 4), head_gradient))


def _with(memory: MemoryPrediction, plan: Plan, sizes: dict[str, int], static_bytes: int) -> MemoryPrediction:
    """The prediction with other terms, and all that follows from their sum."""
    terms = tuple(sizes.items())
    peak = sum(size for _, size in terms)
    grown = peak - memory.peak_bytes
    needed = memory.needed_bytes + grown
    verdict, reason = judge(needed, plan.capacity_bytes)
    other = memory.closed_form_peak_bytes
    return replace(
        memory,
        terms=terms,
        peak_bytes=peak,
        static_bytes=static_bytes,
        reserved_low_bytes=memory.reserved_low_bytes + grown,
        reserved_high_bytes=memory.reserved_high_bytes + grown,
        needed_bytes=needed,
        capacity_bytes=plan.capacity_bytes,
        verdict=verdict,
        reason=reason,
        closed_form_peak_bytes=None if other is None else other + grown,
    )
