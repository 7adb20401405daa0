"""Plan: a recipe resolved against one machine. Every number final, each with its reason.

`plan` is pure: the same recipe, hardware and model shape give the same plan. The ladder changes plans
(`ladder`), the attempt carries them out (`training`). Not here: how much memory a plan takes (`memory`).
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field, replace
from typing import Any

from engine.distributed_faults import machine_faults
from engine.hardware import Gpu, Hardware
from engine.memory import MemoryPrediction, Predictor, closed_form
from engine.model_shape import ModelShape
from engine.ranks.planning import machine_of, spread
from engine.recipe import Problem, Recipe, recipe_error
from engine.row_lengths import RowLengths
from engine.tuning import picks
from engine.tuning.faults import tuning_faults
from engine.tuning.hardware_class import hardware_class
from engine.units import format_bytes, parse_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an attempt does, down to the last number. Names are those of the recipe."""

    device: str
    """cpu or cuda:0; the worker sees one card only, the one that `device_uuid` names."""
    device_name: str
    device_uuid: str
    device_uuids: tuple[str, ...] = ()
    """Of every card that this host's processes use, where there are more than one."""
    hardware_class: str = ""
    """Kind of the device (`tuning.hardware_class`); empty in plans of finetui 0.6 and before."""
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
    packing: bool = False
    train_sampling_strategy: str = "random"
    """by_step, or one of the recipe's own: by_step sorts the rows of each optimizer step by length."""
    selective_checkpointing: bool = False
    use_liger_kernel: bool = False
    torch_compile: bool = False
    dataloader_num_workers: int = 0
    optim: str
    expandable_segments: bool
    four_bit_available: bool = True
    num_threads: int
    """Of each process."""
    strategy: str = "none"
    """How devices share the work: none, ddp, fsdp2 or zero3."""
    nproc_per_node: int = 1
    nnodes: int = 1
    rows: RowLengths | None = None
    """The longest rows there are; None until they are tokenized, and every row counts as `max_length` tokens."""
    reasons: tuple[tuple[str, str], ...] = ()
    """(field, why it has this value) for every value the plan chose."""
    rungs: tuple[str, ...] = ()
    """Rungs of the ladder that led here, in order."""
    memory: MemoryPrediction | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def world_size(self) -> int:
        """Processes that train together, on all hosts: ranks."""
        return self.nproc_per_node * self.nnodes

    @property
    def effective_batch_size(self) -> int:
        return self.per_device_train_batch_size * self.gradient_accumulation_steps * self.world_size

    @property
    def padded_attention(self) -> str:
        """The attention of rows that come padded or one at a time: varlen_attn is for joined ones."""
        return "sdpa" if self.attn_implementation == "varlen_attn" else self.attn_implementation

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
            values["device_uuids"] = tuple(values.get("device_uuids", ()))
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
    if problems := machine_problems(recipe, hardware, shape):
        raise recipe_error(problems)
    predictor = predictor or (closed_form(shape) if shape else None)
    alone = _base(recipe, machine_of(recipe, hardware), shape)
    chosen = _in_order(spread(replace(alone, rows=rows), recipe, hardware, predictor), recipe)
    if predictor is None:
        chosen = replace(chosen, notes=(*chosen.notes, "memory is not predicted: the model's config is not here yet"))
    elif chosen.torch_compile:
        unknown = "memory is predicted for the step as written; what compiled kernels take is known after the probe"
        chosen = replace(chosen, notes=(*chosen.notes, unknown))
    if recipe.training.gradient_checkpointing != "auto":
        return _because(chosen, "gradient_checkpointing", picks.ASKED, predictor(chosen) if predictor else None)
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


def machine_problems(recipe: Recipe, hardware: Hardware, shape: ModelShape | None = None) -> list[Problem]:
    """Options of the recipe that this machine cannot apply; without `shape`, as far as that is known."""
    told = machine_faults(recipe.distributed, hardware, recipe.training.gradient_accumulation_steps)
    found = [Problem(f"distributed.{name}", *fault) for name, *fault in told]
    if recipe.adapter.method == "qlora" and not hardware.four_bit.available:
        found.append(Problem("adapter.method", hardware.four_bit.reason, 'Use "lora".'))
    return found + [Problem(*told) for told in tuning_faults(recipe, machine_of(recipe, hardware), shape)]


def _base(recipe: Recipe, hardware: Hardware, shape: ModelShape | None) -> Plan:
    """The plan of one process, but for what depends on how many there are and on what fits."""
    gpu, training = hardware.best_gpu, recipe.training
    picked = _picked(recipe, hardware, shape)
    capacity, why = _capacity(recipe, hardware, gpu)
    reasons = {name: reason for name, (_, reason) in picked.items()} | {
        "capacity_bytes": why,
        "num_threads": "usable cores",
        "device": picks.device(hardware, gpu, format_bytes(gpu.free_bytes) if gpu else ""),
    }
    return Plan(
        device="cpu" if gpu is None else "cuda:0",
        device_name=hardware.cpu_name if gpu is None else gpu.name,
        device_uuid="" if gpu is None else gpu.uuid,
        hardware_class=hardware_class(hardware),
        compute_capability=None if gpu is None else gpu.compute_capability,
        capacity_bytes=capacity,
        enforce_limit=recipe.memory.limit is not None,
        **{name: value for name, (value, _) in picked.items()},
        **_adapter(recipe),
        double_quant=recipe.model.bnb_4bit_use_double_quant,
        max_length=training.max_length,
        per_device_train_batch_size=training.per_device_train_batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        per_device_eval_batch_size=training.per_device_eval_batch_size,
        has_eval=recipe.data.eval_fraction > 0 or recipe.data.eval_dataset is not None,
        gradient_checkpointing=training.gradient_checkpointing in (True, "selective"),
        selective_checkpointing=training.gradient_checkpointing == "selective",
        activation_offloading=training.activation_offloading,
        expandable_segments=recipe.memory.expandable_segments and gpu is not None,
        four_bit_available=hardware.four_bit.available,
        num_threads=hardware.num_cores,
        reasons=tuple(reasons.items()),
        notes=_notes(recipe, gpu),
    )


def _picked(recipe: Recipe, hardware: Hardware, shape: ModelShape | None) -> dict[str, tuple[Any, str]]:
    """Fields of the plan that suit the device, each with its reason."""
    gpu = hardware.best_gpu
    attention = picks.attention(recipe, gpu, shape)
    joined = picks.padding_free(recipe, gpu, attention[0])
    return {
        "dtype": picks.dtype(recipe, gpu),
        "autocast": picks.autocast(hardware, gpu),
        "attn_implementation": attention,
        "padding_free": joined,
        "packing": picks.packing(recipe, joined=joined[0]),
        "fused_loss": picks.loss(recipe, gpu),
        "use_liger_kernel": picks.liger(recipe, hardware, gpu, shape),
        "optim": picks.optimizer(recipe),
        "torch_compile": picks.torch_compile(recipe, gpu),
        "dataloader_num_workers": picks.num_workers(recipe),
    }


def _in_order(chosen: Plan, recipe: Recipe) -> Plan:
    """The plan with the order of its rows, which takes knowing how many processes share a step."""
    batches = chosen.per_device_train_batch_size, chosen.gradient_accumulation_steps * chosen.world_size
    strategy, why = picks.order(
        recipe, joined=chosen.padding_free, alone=chosen.world_size == 1, rows=chosen.rows, batches=batches
    )
    return replace(
        chosen,
        train_sampling_strategy=strategy,
        reasons=(*chosen.reasons, ("train_sampling_strategy", why)),
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
