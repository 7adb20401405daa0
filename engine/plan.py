"""Plan: a recipe resolved against one machine. Every number final, each with its reason.

`plan` is pure: the same recipe, hardware and model shape give the same plan. The ladder changes plans
(`ladder`), the attempt carries them out (`training`). Not here: how much memory a plan takes (`memory`).
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field, replace
from typing import Any

from engine.hardware import Gpu, Hardware
from engine.memory import MemoryPrediction, Predictor, closed_form
from engine.model_shape import ModelShape
from engine.recipe import Problem, Recipe, recipe_error
from engine.row_lengths import RowLengths
from engine.units import format_bytes, parse_bytes

EAGER_ONLY = ("gemma2",)
"""Families that sdpa cannot compute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an attempt does, down to the last number. Names are those of the recipe."""

    device: str
    """cpu or cuda:0; the worker sees one card only, the one that `device_uuid` names."""
    device_name: str
    device_uuid: str
    compute_capability: tuple[int, int] | None = None
    """Generation of the card, which decides its kernels; None for a CPU or a card that does not tell."""
    capacity_bytes: int
    """Memory the attempt may use: free VRAM, free RAM, or the recipe's limit."""
    enforce_limit: bool
    dtype: str
    autocast: str
    """bfloat16, float16 or none."""
    attn_implementation: str
    method: str
    r: int
    lora_alpha: float
    lora_dropout: float
    target_modules: str | tuple[str, ...]
    use_rslora: bool
    use_dora: bool
    lean_dora: bool = False
    double_quant: bool
    max_length: int
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    per_device_eval_batch_size: int
    has_eval: bool = True
    """Whether rows are held out for the eval loss."""
    gradient_checkpointing: bool
    activation_offloading: bool = False
    fused_loss: bool = True
    padding_free: bool
    optim: str
    expandable_segments: bool
    four_bit_available: bool = True
    num_threads: int
    rows: RowLengths | None = None
    """The longest rows there are; None until they are tokenized, and every row counts as `max_length` tokens."""
    reasons: tuple[tuple[str, str], ...] = ()
    """(field, why it has this value) for every value the plan chose."""
    rungs: tuple[str, ...] = ()
    """Rungs of the ladder that led here, in order."""
    memory: MemoryPrediction | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def effective_batch_size(self) -> int:
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    def checkpoint_key(self) -> dict[str, Any]:
        """What must be equal for a checkpoint of one plan to be continued under another exactly as it is."""
        names = ("method", "r", "lora_alpha", "target_modules", "use_rslora", "use_dora", "optim")
        return json.loads(json.dumps({name: getattr(self, name) for name in names}))  # type: ignore[no-any-return]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(raw: dict[str, Any]) -> Plan:
        """The plan that `to_json` described. Raises ValueError for anything else.

        One of finetui 0.1 lacks some fields and predicted its memory otherwise: it is taken without a prediction.
        """
        values = dict(raw)
        try:
            if isinstance(values["target_modules"], list):
                values["target_modules"] = tuple(values["target_modules"])
            if values.get("compute_capability"):
                major, minor = values["compute_capability"]
                values["compute_capability"] = (int(major), int(minor))
            values["reasons"] = tuple((str(a), str(b)) for a, b in values["reasons"])
            values["rungs"], values["notes"] = tuple(values["rungs"]), tuple(values["notes"])
            values["rows"] = RowLengths.from_json(values["rows"]) if values.get("rows") else None
            values["memory"] = _prediction(values["memory"])
            return Plan(**values)
        except (KeyError, TypeError) as fault:
            raise ValueError(f"not a plan: {fault}") from fault


def _prediction(raw: dict[str, Any] | None) -> MemoryPrediction | None:
    return MemoryPrediction.from_json(raw) if raw and "needed_bytes" in raw else None


def plan(
    recipe: Recipe,
    hardware: Hardware,
    shape: ModelShape | None,
    *,
    rows: RowLengths | None = None,
    predictor: Predictor | None = None,
) -> Plan:
    """Resolve a recipe. Raises RecipeError listing every option this machine cannot apply.

    `predictor` is the closed form of `shape` unless another is given. Without either (model not looked at yet)
    the plan has no memory prediction and says so.
    """
    if problems := machine_problems(recipe, hardware):
        raise recipe_error(problems)
    predictor = predictor or (closed_form(shape) if shape else None)
    chosen = replace(_with_eager(_base(recipe, hardware), recipe, shape), rows=rows)
    if predictor is None:
        chosen = replace(chosen, notes=(*chosen.notes, "memory is not predicted: the model's config is not here yet"))
    if recipe.training.gradient_checkpointing != "auto":
        why = "the recipe asks for it"
        return _because(chosen, "gradient_checkpointing", why, predictor(chosen) if predictor else None)
    if predictor is None:
        return _because(chosen, "gradient_checkpointing", "decided once the model's config is here", None)
    without = replace(chosen, gradient_checkpointing=False)
    prediction = predictor(without)
    if prediction.verdict == "fits":
        return _because(without, "gradient_checkpointing", "fits without, and is a third faster that way", prediction)
    on = replace(chosen, gradient_checkpointing=True)
    with_it = predictor(on)
    if with_it.peak_bytes >= prediction.peak_bytes:
        why = "would not make the peak smaller: that is not made of activations of the training step"
        return _because(without, "gradient_checkpointing", why, prediction)
    why = f"without it the peak would be {format_bytes(prediction.peak_bytes)} of {format_bytes(chosen.capacity_bytes)}"
    return _because(on, "gradient_checkpointing", why, with_it)


def _with_eager(chosen: Plan, recipe: Recipe, shape: ModelShape | None) -> Plan:
    """transformers computes some families with eager attention only, and refuses them otherwise."""
    if shape is None or shape.architecture not in EAGER_ONLY or recipe.model.attn_implementation != "auto":
        return chosen
    why = f"transformers has no other attention for {shape.architecture} here: it caps its scores"
    kept = tuple(
        (name, reason) for name, reason in chosen.reasons if name not in ("attn_implementation", "padding_free")
    )
    reasons = (*kept, ("attn_implementation", why), ("padding_free", "eager attention pads"))
    return replace(chosen, attn_implementation="eager", padding_free=False, reasons=reasons)


def machine_problems(recipe: Recipe, hardware: Hardware) -> list[Problem]:
    """Options of the recipe that this machine cannot apply."""
    gpu, model = hardware.best_gpu, recipe.model
    found = []
    if gpu is None and model.dtype == "float16":
        found.append(
            Problem(
                "model.dtype", "float16 on a CPU computes ten times slower than float32.", 'Use "auto" or "float32".'
            )
        )
    if gpu is not None and model.dtype == "bfloat16" and not gpu.bf16.available:
        found.append(Problem("model.dtype", gpu.bf16.reason, 'Use "auto" or "float16".'))
    if recipe.adapter.method == "qlora" and not hardware.four_bit.available:
        found.append(Problem("adapter.method", hardware.four_bit.reason, 'Use "lora".'))
    if model.attn_implementation == "flash_attention_2":
        reason = "there is no NVIDIA card." if gpu is None else gpu.flash_attention.reason
        if gpu is None or not gpu.flash_attention.available:
            found.append(Problem("model.attn_implementation", reason, 'Use "auto" or "sdpa".'))
    if recipe.training.padding_free is True and gpu is not None and model.attn_implementation != "flash_attention_2":
        found.append(
            Problem(
                "training.padding_free",
                "on a card it needs flash_attention_2, else rows see each other.",
                'Use "auto", or model.attn_implementation = "flash_attention_2".',
            )
        )
    if gpu is None:
        found += _card_only(recipe)
    if recipe.training.padding_free is True and gpu is None and model.attn_implementation == "eager":
        found.append(Problem("training.padding_free", "eager attention would let rows see each other.", 'Use "auto".'))
    return found


def _card_only(recipe: Recipe) -> list[Problem]:
    """Options that mean nothing without a card."""
    found = []
    if recipe.training.activation_offloading:
        happened = "there is no NVIDIA card whose activations could wait in RAM: on a CPU they are there already."
        found.append(Problem("training.activation_offloading", happened, 'Use "false".'))
    if recipe.memory.expandable_segments:
        happened = "it is a setting of PyTorch's pool on an NVIDIA card, and there is none."
        found.append(Problem("memory.expandable_segments", happened, 'Use "false".'))
    return found


def _base(recipe: Recipe, hardware: Hardware) -> Plan:
    gpu, training = hardware.best_gpu, recipe.training
    reasons: list[tuple[str, str]] = []
    dtype, why = _dtype(recipe, gpu)
    reasons.append(("dtype", why))
    autocast, why = _autocast(hardware, gpu)
    reasons.append(("autocast", why))
    padding_free, why = _padding_free(recipe, gpu)
    reasons.append(("padding_free", why))
    capacity, why = _capacity(recipe, hardware, gpu)
    reasons.append(("capacity_bytes", why))
    reasons.append(("num_threads", "usable cores"))
    sdpa = recipe.model.attn_implementation == "auto"
    reasons.append(("attn_implementation", "sdpa works on every device" if sdpa else "the recipe asks for it"))
    no_card = hardware.gpu_note or "no NVIDIA card"
    reasons.append(("device", f"most free memory: {format_bytes(gpu.free_bytes)}" if gpu else no_card))
    return Plan(
        device="cpu" if gpu is None else "cuda:0",
        device_name=hardware.cpu_name if gpu is None else gpu.name,
        device_uuid="" if gpu is None else gpu.uuid,
        compute_capability=None if gpu is None else gpu.compute_capability,
        capacity_bytes=capacity,
        enforce_limit=recipe.memory.limit is not None,
        dtype=dtype,
        autocast=autocast,
        attn_implementation="sdpa" if sdpa else recipe.model.attn_implementation,
        **_adapter(recipe),
        double_quant=recipe.model.bnb_4bit_use_double_quant,
        max_length=training.max_length,
        per_device_train_batch_size=training.per_device_train_batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        per_device_eval_batch_size=training.per_device_eval_batch_size,
        has_eval=recipe.data.eval_fraction > 0 or recipe.data.eval_dataset is not None,
        gradient_checkpointing=training.gradient_checkpointing is True,
        activation_offloading=training.activation_offloading,
        fused_loss=training.fused_loss,
        padding_free=padding_free,
        optim=training.optim,
        expandable_segments=recipe.memory.expandable_segments and gpu is not None,
        four_bit_available=hardware.four_bit.available,
        num_threads=hardware.num_cores,
        reasons=tuple(reasons),
        notes=_notes(recipe, gpu),
    )


def _adapter(recipe: Recipe) -> dict[str, Any]:
    """The fields of a plan that say what is trained."""
    adapter = recipe.adapter
    targets = adapter.target_modules if isinstance(adapter.target_modules, str) else tuple(adapter.target_modules)
    names = ("method", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora")
    values = {name: getattr(adapter, name) for name in names}
    return values | {"target_modules": targets, "lean_dora": adapter.use_dora and adapter.lean_dora}


def _notes(recipe: Recipe, gpu: Gpu | None) -> tuple[str, ...]:
    if gpu is None and recipe.training.optim == "paged_adamw_8bit":
        return ("paged_adamw_8bit pages nothing without a card; the 8-bit state is kept",)
    return ()


def _because(chosen: Plan, name: str, reason: str, memory: MemoryPrediction | None) -> Plan:
    return replace(chosen, reasons=(*chosen.reasons, (name, reason)), memory=memory)


def _dtype(recipe: Recipe, gpu: Gpu | None) -> tuple[str, str]:
    if recipe.model.dtype != "auto":
        return recipe.model.dtype, "the recipe asks for it"
    if gpu is None:
        return "float32", "a CPU keeps full precision and computes in the autocast type"
    if recipe.adapter.method == "full":
        return "float32", "full training loses small updates in 16-bit weights"
    if gpu.bf16.available:
        return "bfloat16", gpu.bf16.reason
    return "float16", gpu.bf16.reason


def _autocast(hardware: Hardware, gpu: Gpu | None) -> tuple[str, str]:
    if gpu is not None:
        return ("bfloat16" if gpu.bf16.available else "float16"), gpu.bf16.reason
    flags = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in hardware.cpu_flags]
    if flags:
        return "bfloat16", f"the CPU has {flags[0]}"
    return "none", "the CPU has no bfloat16 instructions"


def _padding_free(recipe: Recipe, gpu: Gpu | None) -> tuple[bool, str]:
    if recipe.training.padding_free != "auto":
        return recipe.training.padding_free, "the recipe asks for it"
    if recipe.model.attn_implementation == "eager":
        return False, "eager attention pads"
    if gpu is None:
        return True, "on CPU rows are joined and attended one by one: no padding is computed"
    return False, "sdpa on a card pads; joined rows need a variable-length kernel"


def _capacity(recipe: Recipe, hardware: Hardware, gpu: Gpu | None) -> tuple[int, str]:
    if gpu is not None:
        free, why = gpu.free_bytes, f"free VRAM of {gpu.name}"
    else:
        note = f", {hardware.ram_limit_note}" if hardware.ram_limit_note else ""
        free, why = hardware.ram_available_bytes, f"free RAM{note}"
    if recipe.memory.limit is None:
        return free, why
    limit = parse_bytes(recipe.memory.limit)
    return (
        (free, f"{why}; memory.limit allows more") if free < limit else (limit, "memory.limit of the recipe, enforced")
    )
