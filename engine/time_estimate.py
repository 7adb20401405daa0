"""How long training will take: a range from counted operations and a device's speed, never a promise.

Operations per token: 2 N forward, 2 N for the gradients of activations, 2 N for those of weights, where N are the
weights that multiply (Kaplan et al. 2020, section 2.1); frozen weights need no gradients, so LoRA takes 4 N, and
gradient checkpointing computes the forward pass again. Attention adds 6 x layers x tokens seen x width with a
causal mask (Chowdhery et al. 2022, appendix B). Not here: speeds measured on this machine (`calibration`).
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.cards import card_named
from engine.hardware import Hardware
from engine.memory import trainable_parameters
from engine.model_shape import ModelShape
from engine.plan import Plan
from engine.recipe_sections import TrainingSection
from engine.step_specs import FLASH_FROM, attention_kernel

OLD_CARD_UTILISATION, CARD_UTILISATION = (0.10, 0.26), (0.15, 0.45)
"""Share of a card's peak that a step reaches, before Ampere and since. The first: 43 runs with 1 to 7 billion
parameters on a T4 (fitcheck-llm 0.3.1 measurement archive, MIT). The second is what training with long rows is
commonly reported to reach, and has not been measured here."""
SMALL_MODEL = 500_000_000
"""Below so many parameters a card waits for the processor: 0.02 to 0.05 on the same T4."""
SMALL_MODEL_UTILISATION = (0.02, 0.15)
EAGER_SLOWDOWN = 0.7
DORA_SLOWDOWN = 0.6
"""DoRA works out the norms of every adapted weight anew in every pass."""
CORE_FLOPS = {"avx512_bf16": 67e9, "amx_bf16": 67e9, "bf16": 67e9, "": 20e9}
"""Per core. Measured: 250 tokens a second with LoRA on SmolLM2-135M by two cores with avx512_bf16 (AMD EPYC, 2024).
Without bf16 instructions a core computes in fp32: 20 GFLOP/s is what AVX2 leaves of that."""
CPU_RANGE = (0.5, 1.5)
CALIBRATED_RANGE = (0.8, 1.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEstimate:
    """Seconds of training from `low` to `high`. Tokens are None where the number of rows is not known."""

    num_tokens: int | None
    at_most: bool
    """The tokens are an upper bound: rows are not tokenized yet and count as full."""
    low_seconds: float | None
    high_seconds: float | None
    low_tokens_per_second: float
    high_tokens_per_second: float
    basis: str
    """What the speed is taken from, in words."""

    def sentence(self) -> str:
        """The estimate for a person."""
        speed = f"{_rounded(self.low_tokens_per_second)} to {_rounded(self.high_tokens_per_second)} tokens/s"
        if self.low_seconds is None or self.high_seconds is None:
            return f"{speed}; how long in all depends on the number of rows"
        return (
            f"{_span(self.low_seconds, self.high_seconds)}{' if every row is full' if self.at_most else ''} ({speed})"
        )

    def short(self) -> str:
        """The same in the width of a table's column."""
        if self.low_seconds is None or self.high_seconds is None:
            return f"{_rounded(self.low_tokens_per_second)}+ tokens/s"
        if self.at_most and self.high_seconds >= 60:
            return f"up to {_coarse(self.high_seconds)}"
        return _span(self.low_seconds, self.high_seconds)


def time_estimate(
    plan: Plan, shape: ModelShape, training: TrainingSection, hardware: Hardware, *, flops: float | None = None
) -> TimeEstimate | None:
    """The range for a plan, None for a card whose speed nobody has written down.

    `flops` is the speed that earlier runs of this kind reached here, in floating-point operations a second.
    """
    speed = _speed(plan, shape, hardware, flops)
    if speed is None:
        return None
    low, high, basis = speed
    tokens, at_most = num_tokens(plan, training)
    per_token = flops_per_token(plan, shape)
    return TimeEstimate(
        num_tokens=tokens,
        at_most=at_most,
        low_seconds=None if tokens is None else tokens * per_token / high,
        high_seconds=None if tokens is None else tokens * per_token / low,
        low_tokens_per_second=low / per_token,
        high_tokens_per_second=high / per_token,
        basis=basis,
    )


def flops_per_token(plan: Plan, shape: ModelShape) -> float:
    """Floating-point operations that one trained token takes, forward and backward."""
    weights = shape.linear_parameters + shape.embedding_parameters
    passes = 6 if plan.method == "full" else 4
    attention = 6
    if plan.gradient_checkpointing:
        passes, attention = passes + 2, attention + 2
    adapter = 6 * trainable_parameters(plan, shape) if plan.method != "full" else 0
    seen = _tokens_seen(plan, shape)
    return passes * weights + adapter + attention * seen * shape.num_heads * shape.head_dim


def _tokens_seen(plan: Plan, shape: ModelShape) -> float:
    """Tokens that a token attends to, summed over the layers; a causal mask is already in the factor."""
    length = _mean_length(plan) or plan.max_length
    window = min(shape.sliding_window or length, length)
    return shape.sliding_layers * window + (shape.num_layers - shape.sliding_layers) * length


def num_tokens(plan: Plan, training: TrainingSection) -> tuple[int | None, bool]:
    """(tokens of the whole training, whether that is an upper bound); None where the number of rows is unknown."""
    mean = _mean_length(plan)
    if training.max_steps is not None:
        rows = training.max_steps * plan.effective_batch_size
        if plan.packing and plan.rows is not None:
            packs = plan.rows.packs(plan.max_length)
            return int(rows * packs.num_tokens / packs.num_rows), False
        return int(rows * (mean or plan.max_length)), mean is None
    if plan.rows is None or mean is None:
        return None, False
    return int(training.num_train_epochs * plan.rows.num_rows * mean), False


def _mean_length(plan: Plan) -> float | None:
    """Tokens of a row as it is trained, exact as long as the rows that are cut are among those remembered."""
    if plan.rows is None:
        return None
    cut_off = sum(max(tokens - plan.max_length, 0) for tokens, _ in plan.rows.longest)
    return min((plan.rows.num_tokens - cut_off) / plan.rows.num_rows, plan.max_length)


def _speed(plan: Plan, shape: ModelShape, hardware: Hardware, flops: float | None) -> tuple[float, float, str] | None:
    """(slowest, fastest, where from), in floating-point operations a second."""
    if flops:
        return flops * CALIBRATED_RANGE[0], flops * CALIBRATED_RANGE[1], "the speed of earlier runs on this device"
    if plan.device == "cpu":
        flag = next((name for name in CORE_FLOPS if name in hardware.cpu_flags and plan.autocast != "none"), "")
        whole = CORE_FLOPS[flag] * plan.num_threads
        cores = f"{plan.num_threads} core{'s' if plan.num_threads != 1 else ''}"
        basis = f"{cores} at {CORE_FLOPS[flag] / 1e9:.0f} GFLOP/s ({flag or 'no bf16 instructions'})"
        return whole * CPU_RANGE[0], whole * CPU_RANGE[1], basis
    card = card_named(plan.device_name)
    if card is None:
        return None
    usual = CARD_UTILISATION if card.compute_capability >= FLASH_FROM else OLD_CARD_UTILISATION
    low, high = usual if shape.num_parameters >= SMALL_MODEL else SMALL_MODEL_UTILISATION
    slowdown = (EAGER_SLOWDOWN if attention_kernel(plan) == "eager" else 1) * (DORA_SLOWDOWN if plan.use_dora else 1)
    low, high = low * slowdown, high * slowdown
    basis = f"{low:.0%} to {high:.0%} of the {card.peak_tflops:.0f} TFLOP/s in the card's data sheet"
    return card.peak_tflops * 1e12 * low, card.peak_tflops * 1e12 * high, basis


def _rounded(number: float) -> str:
    """Two significant digits, with thousands separated: 1,200 or 0.35."""
    if number < 10:
        return f"{number:.2g}"
    scale = 10 ** (len(str(int(number))) - 2)
    return f"{round(number / scale) * scale:,}"


def _span(low_seconds: float, high_seconds: float) -> str:
    """Two durations as a range."""
    if high_seconds < 60:
        return "under 1 min"
    if low_seconds < 60:
        return f"up to {_coarse(high_seconds)}"
    low, high = _coarse(low_seconds), _coarse(high_seconds)
    return low if low == high else f"{low} to {high}"


def _coarse(seconds: float) -> str:
    """A duration of a minute or more in one unit: an estimate must not look exact."""
    minutes = seconds / 60
    if minutes < 90:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"
