"""What a dry run is asked and what it answers: values only, without torch, so that plans can be made of them.

The dry run itself is engine/training/dry_run; turning a plan into a question is engine/step_specs.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TERMS = (
    "weights",
    "quantization overhead",
    "adapter",
    "gradients",
    "optimizer state",
    "activations",
    "logits and loss",
    "temporaries",
)
"""Names of the terms of a peak, in the order in which they are shown."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "device": ("cuda", "cpu"),
    "method": ("full", "lora", "qlora"),
    "dtype": ("float32", "bfloat16", "float16"),
    "autocast": ("none", "bfloat16", "float16"),
    "attention": ("flash", "varlen", "efficient", "math", "eager", "native", "segments"),
    "quant_type": ("nf4", "fp4"),
    "compute_dtype": ("", "float32", "bfloat16", "float16"),
    "adapter_dtype": ("float32", "bfloat16", "float16"),
    "loss": ("fused", "plain", "frozen_head"),
    "optim": (
        *("adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit"),
        *("adamw_foreach", "sgd", "lora_fa"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """Everything that decides the memory of one optimizer step. Names are those of the plan where it has them.

    `attention` flash, varlen (rows that come joined), efficient, math and eager are what a card would run; native is
    the CPU's own scaled_dot_product_attention, segments is engine.training.segment_attention. `loss` fused is TRL's
    head, plain makes all logits, frozen_head is engine.training.frozen_head_loss. `optim` adamw_foreach, sgd and
    lora_fa (only the B matrices are trained) occur in measurements by others, not in recipes.
    """

    device: str
    method: str
    dtype: str
    autocast: str = "none"
    attention: str = "efficient"
    double_quant: bool = True
    quant_type: str = "nf4"
    compute_dtype: str = ""
    """Type in which 4-bit layers compute; empty: that of `autocast`, float32 without it."""
    r: int = 16
    lora_alpha: float = 32
    lora_dropout: float = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"
    use_rslora: bool = False
    use_dora: bool = False
    lean_dora: bool = False
    adapter_dtype: str = "float32"
    gradient_checkpointing: bool = False
    selective_checkpointing: bool = False
    """Checkpointing that keeps what attention computed; without `gradient_checkpointing` it says nothing."""
    activation_offloading: bool = False
    optim: str = "adamw_torch_fused"
    loss: str = "fused"
    row_lengths: tuple[int, ...] = (512,)
    """Tokens of each row of the longest micro-batch."""
    num_labelled: int | None = None
    """Positions that are trained on, of all rows together; None: every one."""
    padding_free: bool = False
    attention_mask: bool = True
    """Whether the batch holds a mask; it masks nothing where all rows are equally long."""
    gradient_accumulation_steps: int = 1
    eval_row_lengths: tuple[int, ...] = ()
    """Tokens of each row of the longest eval batch; empty: no eval."""
    clips_gradients: bool = True
    cublas_workspace_bytes: int = 8_519_680
    """cuBLAS's workspace, held twice from the first step on (forward and backward thread): PyTorch's default is
    8.125 MiB, from compute capability 9.0 on 32 MiB. Counts on a card only."""
    keeps_output: bool = False
    """A loop that holds its last output, logits and all, until the next forward pass has replaced it (`loss` plain)."""
    kbit_upcast: bool = False
    """PEFT's prepare_model_for_kbit_training, which old recipes call: all but 4-bit weights in float32."""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        if not self.row_lengths or min((*self.row_lengths, *self.eval_row_lengths)) < 2:
            raise ValueError("row_lengths needs rows of at least 2 tokens")

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> StepSpec:
        """The spec that `to_json` described. Raises ValueError for anything else."""
        try:
            return StepSpec(**{name: _as_tuple(value) for name, value in raw.items()})
        except TypeError as fault:
            raise ValueError(f"not a step spec: {fault}") from fault


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """The memory of one step in bytes, as PyTorch's allocator would count it.

    `reserved_bytes` is what its pool grows to on an unlimited device, `needed_bytes` the smallest capacity at
    which the step survives; both again for expandable segments. None of them includes the device's context.
    """

    loaded_bytes: int
    """Weights, adapter and buffers."""
    resident_bytes: int
    """What lies there between two steps: loaded, and the optimizer's state."""
    phases: tuple[tuple[str, int], ...]
    """Peak of each phase: forward, backward, optimizer, and eval where there is one."""
    terms: tuple[tuple[str, int], ...]
    """What is alive at the overall peak, in the order of `TERMS`; sums to `peak_bytes`."""
    peak_bytes: int
    reserved_bytes: int
    needed_bytes: int
    expandable_reserved_bytes: int
    expandable_needed_bytes: int
    num_trainable: int
    num_parameters: int
    """Parameters as loaded, before quantization; tied ones once, adapter included."""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> DryRun:
        """The result that `to_json` described. Raises ValueError for anything else."""
        values = dict(raw)
        try:
            for name in ("phases", "terms"):
                values[name] = tuple((str(key), int(size)) for key, size in values[name])
            return DryRun(**values)
        except (KeyError, TypeError) as fault:
            raise ValueError(f"not a dry run: {fault}") from fault


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


__all__ = ["TERMS", "DryRun", "StepSpec"]
