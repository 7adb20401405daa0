"""Every argument name of transformers, TRL, PEFT and bitsandbytes that finetui sets, in one place.

A new release of theirs that renames something is mended here. Not here: choosing the values (`engine.plan`).
"""

from __future__ import annotations

from pathlib import Path

from peft import LoraConfig
from trl import SFTConfig

from engine.plan import Plan
from engine.recipe import Recipe
from engine.training.sharding import fsdp_arguments


def sft_config(recipe: Recipe, plan: Plan, output_dir: Path, *, has_eval: bool, save_steps: int) -> SFTConfig:
    """What the trainer is told. Rows arrive tokenized and cut, so TRL prepares nothing."""
    training = recipe.training
    selective = plan.gradient_checkpointing and plan.selective_checkpointing
    evaluates = has_eval and training.eval_steps is not None
    return SFTConfig(
        output_dir=str(output_dir),
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        padding_free=plan.padding_free,
        num_train_epochs=training.num_train_epochs,
        max_steps=training.max_steps or -1,
        per_device_train_batch_size=plan.per_device_train_batch_size,
        per_device_eval_batch_size=plan.per_device_eval_batch_size,
        gradient_accumulation_steps=plan.gradient_accumulation_steps,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.lr_scheduler_type,
        warmup_steps=training.warmup_steps,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim=plan.optim,
        activation_checkpointing=plan.gradient_checkpointing,  # gradient_checkpointing is its deprecated name
        activation_checkpointing_kwargs={"selective": True} if selective else None,
        activation_offloading=plan.activation_offloading,
        torch_compile=plan.torch_compile,
        bf16=plan.autocast == "bfloat16",
        fp16=plan.autocast == "float16",
        use_cpu=plan.device == "cpu",
        seed=training.seed,
        data_seed=training.seed,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=training.eval_steps if evaluates else None,
        save_strategy="steps",
        save_steps=save_steps,
        save_total_limit=None,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        dataloader_num_workers=plan.dataloader_num_workers,
        dataloader_pin_memory=plan.device != "cpu",
        ddp_find_unused_parameters=False,
        ddp_timeout=recipe.distributed.timeout_seconds,
        **fsdp_arguments(plan),
        auto_find_batch_size=False,
        push_to_hub=False,
    )


def lora_config(plan: Plan) -> LoraConfig | None:
    """The adapter, or None for full training."""
    if plan.method == "full":
        return None
    targets = plan.target_modules
    return LoraConfig(
        r=plan.r,
        lora_alpha=plan.lora_alpha,
        lora_dropout=plan.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        use_rslora=plan.use_rslora,
        use_dora=plan.use_dora,
        bias="none",
        task_type="CAUSAL_LM",
    )
