"""From a plan to a trainer that follows it: base model, adapter, rows, callback.

Not here: the process around it (`attempt`), argument names (`arguments`), where training goes on (`carry_over`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers.integrations import sdpa_attention

from engine import checkpoints
from engine.errors import ModelError, RecipeError
from engine.event_log import EventWriter
from engine.events import ModelLoaded, WarningRaised, clip
from engine.plan import Plan
from engine.ranks.planning import SHARDED
from engine.recipe import Recipe
from engine.run_dir import RunDir, read_json
from engine.step_specs import FLASH_FROM
from engine.training import joining, liger
from engine.training.arguments import lora_config, sft_config
from engine.training.callbacks import RunCallback
from engine.training.dataset_files import packed_rows, read_split
from engine.training.model_loading import load_model
from engine.training.ranks import Ranks
from engine.training.selective_checkpointing import keep_attention
from engine.training.sharding import quant_storage
from engine.training.tokenizer_loading import load_tokenizer
from engine.training.trainer import RunTrainer

CHECKPOINTS_PER_RUN = 10


def build(
    run: RunDir,
    recipe: Recipe,
    plan: Plan,
    writer: EventWriter,
    stop_asked: Callable[[], bool],
    *,
    attempt: int = 1,
    ranks: Ranks | None = None,
) -> tuple[RunTrainer, RunCallback]:
    """Model, rows, callback and trainer of one attempt. `stop_asked`: whether a signal asked to stop."""
    started = time.monotonic()
    folder = Path(read_json(run.model)["folder"])
    rows = rows_of(run, recipe, plan)
    held: list[RunTrainer] = []
    callback = RunCallback(
        run,
        writer,
        attempt=attempt,
        prediction=plan.memory,
        logging_steps=recipe.run.logging_steps,
        num_eval_rows=len(rows["eval"]),
        stop_asked=stop_asked,
        take_num_tokens=lambda: _take_num_tokens(held[0]),
        data_seconds=lambda: held[0].data_seconds,
        lines=lambda: held[0].lines,
        ranks=ranks,
    )
    model, plan = base_model(folder, recipe, plan, writer)
    held.append(_trainer(run, recipe, plan, model, rows, callback, ranks))
    writer.write(loaded(held[0], time.monotonic() - started))
    return held[0], callback


def _trainer(
    run: RunDir,
    recipe: Recipe,
    plan: Plan,
    model: Any,
    rows: dict[str, Any],
    callback: RunCallback,
    ranks: Ranks | None,
) -> RunTrainer:
    total_steps = num_steps(recipe, plan, len(rows["train"]))
    save_steps = recipe.training.save_steps or max(1, total_steps // CHECKPOINTS_PER_RUN)
    staging, has_eval = run.checkpoints / checkpoints.STAGING, len(rows["eval"]) > 0
    folder = Path(read_json(run.model)["folder"])
    return RunTrainer(
        model=model,
        args=sft_config(recipe, plan, staging, has_eval=has_eval, save_steps=save_steps),
        train_dataset=rows["train"],
        eval_dataset=rows["eval"] if has_eval else None,
        processing_class=load_tokenizer(folder, trust_remote_code=recipe.model.trust_remote_code),
        peft_config=lora_config(plan),
        callbacks=[callback],
        folder=run.checkpoints,
        key=plan.checkpoint_key(),
        keep=recipe.training.save_total_limit,
        on_sealed=callback.on_sealed,
        on_phase=callback.enter,
        total_steps=total_steps,
        fused_loss=plan.fused_loss,
        lean_dora=plan.lean_dora and plan.use_dora and plan.method != "full",
        train_sampling_strategy=plan.train_sampling_strategy,
        ranks=ranks,
    )


def rows_of(run: RunDir, recipe: Recipe, plan: Plan) -> dict[str, Any]:
    """The rows of the train and the eval split as the plan takes them."""
    rows = {
        name: read_split(run.dataset, name, max_length=plan.max_length, on_overflow=recipe.data.on_overflow)
        for name in ("train", "eval")
    }
    if plan.packing:
        rows["train"] = packed_rows(rows["train"], run.dataset, plan.max_length)
    return rows


def base_model(folder: Path, recipe: Recipe, plan: Plan, writer: EventWriter) -> tuple[Any, Plan]:
    """The base model, and the plan as this model can carry it out: with padding where rows cannot be joined.

    Raises ModelError, also where the recipe itself asks for what this model cannot do right.
    """
    joining.register()
    if plan.device.startswith("cuda") and torch.cuda.get_device_capability(plan.device) < FLASH_FROM:
        expand_grouped_queries()
    attention = joining.implementation(plan)
    model: Any = load_model(
        folder,
        dtype=plan.dtype,
        quantization=recipe.model.bnb_4bit_quant_type if plan.method == "qlora" else None,
        double_quant=plan.double_quant,
        compute_dtype=plan.autocast if plan.autocast != "none" else "float32",
        quant_storage=quant_storage(plan),
        attn_implementation=attention,
        device="cpu" if plan.strategy in SHARDED else plan.device,  # whole on a card it might not fit
        trust_remote_code=recipe.model.trust_remote_code,
    )
    check_targets(model, plan)
    layers: list[Any] = list(model.modules())
    for module in layers:
        # Else bitsandbytes repacks 4-bit weights in evaluation, and repacked ones hand no gradient back.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    if plan.gradient_checkpointing and plan.selective_checkpointing:
        keep_attention(model)
    plan = with_liger(model, recipe, plan, writer)
    why = ""
    if plan.padding_free or plan.packing:
        why = joining.unsupported_because(model.config, attention)
        why = why or joining.misjoined_because(model, autocast=plan.autocast)
    if not why:
        return model, plan
    asked = [name for name in ("padding_free", "packing") if getattr(recipe.training, name) is True]
    if asked:
        raise ModelError(
            f"Rows cannot be joined without padding: {why}.",
            means="They would see each other.",
            remedy=f"Set {' and '.join(f'training.{name}' for name in asked)} = false.",
        )
    more = "; that takes more memory than was predicted" if plan.memory and plan.device != "cpu" else ""
    writer.write(WarningRaised(text=clip(f"rows are padded instead of joined: {why}{more}", 400)))
    padded = plan.padded_attention
    model.set_attn_implementation(padded)
    order = "by_step" if recipe.training.train_sampling_strategy == "auto" else plan.train_sampling_strategy
    plan = replace(plan, padding_free=False, packing=False, train_sampling_strategy=order)
    return model, replace(plan, attn_implementation=padded)


def with_liger(model: Any, recipe: Recipe, plan: Plan, writer: EventWriter) -> Plan:
    """The plan with Liger's kernels in the model if it picks them and they compute the same, else without them.

    Raises ModelError where the recipe itself asks for them and they cannot be used.
    """
    if not plan.use_liger_kernel:
        return plan
    why = liger.unusable_because(model, autocast=plan.autocast)
    if not why:
        return plan
    if recipe.training.use_liger_kernel is True:
        raise ModelError(
            f"Liger's kernels cannot be used: {why}.",
            means="The recipe asks for them; nothing was trained.",
            remedy='Set training.use_liger_kernel = "auto" or false.',
        )
    writer.write(WarningRaised(text=clip(f"trained without Liger's kernels: {why}", 400)))
    return replace(plan, use_liger_kernel=False)


def expand_grouped_queries() -> None:
    """From now on in this process, sdpa gets keys and values repeated for every head instead of grouped queries.

    A card without the flash kernel would fall back to the math kernel, which holds all scores in float32: the
    memory-efficient one takes no grouped queries (torch/aten sdp_utils.cpp).
    """
    sdpa_attention.use_gqa_in_sdpa = lambda *_: False


def check_targets(model: Any, plan: Plan) -> None:
    """Raises RecipeError naming every target module that the model does not have: PEFT would drop it in silence."""
    if isinstance(plan.target_modules, str) or plan.method == "full":
        return
    names = [name for name, module in model.named_modules() if name and isinstance(module, torch.nn.Linear)]
    everything = [name for name, _ in model.named_modules()]
    absent = [t for t in plan.target_modules if not any(n == t or n.endswith(f".{t}") for n in everything)]
    if absent:
        raise RecipeError(
            f"The model has no layer called {', '.join(absent)}.",
            means="adapter.target_modules names what gets an adapter; nothing was trained.",
            remedy=f"Its linear layers are {', '.join(sorted({name.rpartition('.')[2] for name in names}))}.",
        )


def _take_num_tokens(trainer: RunTrainer) -> int:
    taken, trainer.num_tokens = trainer.num_tokens, 0
    return taken


def num_steps(recipe: Recipe, plan: Plan, num_rows: int) -> int:
    """Optimizer steps of the whole run, counted as transformers counts them."""
    if recipe.training.max_steps:
        return recipe.training.max_steps
    micro_batches = math.ceil(num_rows / plan.per_device_train_batch_size)
    of_each_rank = math.ceil(micro_batches / plan.world_size)
    per_epoch = max(1, math.ceil(of_each_rank / plan.gradient_accumulation_steps))
    return math.ceil(recipe.training.num_train_epochs * per_epoch)


def loaded(trainer: RunTrainer, seconds: float) -> ModelLoaded:
    parameters = list(trainer.model.parameters())
    return ModelLoaded(
        num_parameters=sum(parameter.numel() for parameter in parameters),
        num_trainable_parameters=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        seconds=round(seconds, 2),
        allocated_bytes=torch.cuda.memory_allocated() if trainer.args.device.type == "cuda" else None,
    )
