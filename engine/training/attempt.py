"""One attempt: a fresh process that owns the device and follows one plan to its end, a stop or an OOM.

Run as `python -P -m engine.training.attempt RUN_DIR SUPERVISOR_PID NUMBER`. Not here: what happens after an
OOM; the supervisor decides.
"""

from __future__ import annotations

import gc
import math
import resource
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from datasets import Dataset

from engine import checkpoints
from engine.checkpoints import Checkpoint
from engine.errors import ModelError, RecipeError
from engine.event_log import EventWriter
from engine.events import (
    AttemptStarted,
    ModelLoaded,
    OomHit,
    TrainingEnded,
    TrainingStarted,
    WarningRaised,
    clip,
)
from engine.plan import Plan
from engine.recipe import Recipe
from engine.run_dir import RunDir, read_json
from engine.training import segment_attention
from engine.training.arguments import lora_config, sft_config
from engine.training.callbacks import RunCallback
from engine.training.dataset_files import read_split
from engine.training.model_loading import load_model, load_tokenizer
from engine.training.result import save_result
from engine.training.trainer import RunTrainer
from engine.worker_edge import at_edge, die_with_parent

CHECKPOINTS_PER_RUN = 10
OUT_OF_MEMORY = 5


@dataclass(slots=True)
class StopFlag:
    """Set by SIGTERM, SIGINT or SIGHUP; looked at between steps."""

    raised: bool = False

    def watch(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._raise)

    def _raise(self, *_: Any) -> None:
        self.raised = True


def attempt(run: RunDir, number: int, writer: EventWriter, stop: StopFlag) -> int:
    """Follow the newest plan from the newest checkpoint that fits it. The last event says how it ended."""
    recipe = Recipe.load(run.recipe)
    plan_path = run.plan(run.latest_plan_number())
    plan = Plan.from_json(read_json(plan_path))
    newest, passed_over = checkpoints.newest(run.checkpoints, plan.checkpoint_key())
    for reason in passed_over:
        writer.write(WarningRaised(text=f"not resumed from {reason}"))
    resumed_from = newest.step if newest else 0
    writer.write(AttemptStarted(attempt=number, plan_file=plan_path.name, resumed_from_step=resumed_from))
    settle(plan)
    trainer: RunTrainer | None = None
    callback: RunCallback | None = None
    try:
        trainer, callback = build(run, recipe, plan, writer, stop)
        if not stop.raised:
            train(run, trainer, callback, newest, writer)
        if stop.raised or callback.stopped_because:
            reason = callback.stopped_because or "a signal asked for it"
            writer.write(TrainingEnded(outcome="stopped", step=trainer.state.global_step, reason=reason))
            return 0
        if trainer.eval_dataset is not None and callback.evaluated_at != trainer.state.global_step:
            callback.phase = "eval"
            trainer.evaluate()
        callback.phase = "save"
        writer.write(save_result(run, trainer.model, trainer.processing_class))
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as fault:
        if not is_out_of_memory(fault):
            raise
        report_out_of_memory(number, writer, trainer, callback, str(fault))
        return OUT_OF_MEMORY
    writer.write(TrainingEnded(outcome="completed", step=trainer.state.global_step))
    return 0


def settle(plan: Plan) -> None:
    """Threads and memory cap of this process, before anything is loaded."""
    torch.set_num_threads(plan.num_threads)
    if not plan.enforce_limit:
        return
    if plan.device == "cpu":
        # The cap is what may be allocated on top of the imported libraries; RLIMIT_DATA counts exactly that.
        used = psutil.Process().memory_info().data
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (used + plan.capacity_bytes, hard))
    else:
        total = torch.cuda.get_device_properties(plan.device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, plan.capacity_bytes / total), plan.device)


def build(
    run: RunDir, recipe: Recipe, plan: Plan, writer: EventWriter, stop: StopFlag
) -> tuple[RunTrainer, RunCallback]:
    """Model, rows, callback and trainer of the attempt."""
    started = time.monotonic()
    folder = Path(read_json(run.model)["folder"])
    rows = {
        name: read_split(run.dataset, name, max_length=plan.max_length, on_overflow=recipe.data.on_overflow)
        for name in ("train", "eval")
    }
    held: list[RunTrainer] = []
    callback = RunCallback(
        run,
        writer,
        logging_steps=recipe.run.logging_steps,
        num_eval_rows=len(rows["eval"]),
        stop_asked=lambda: stop.raised,
        take_num_tokens=lambda: _take_num_tokens(held[0]),
    )
    total_steps = num_steps(recipe, plan, len(rows["train"]))
    save_steps = recipe.training.save_steps or max(1, total_steps // CHECKPOINTS_PER_RUN)
    staging = run.checkpoints / checkpoints.STAGING
    model, plan = base_model(folder, recipe, plan, writer)
    trainer = RunTrainer(
        model=model,
        args=sft_config(recipe, plan, staging, has_eval=len(rows["eval"]) > 0, save_steps=save_steps),
        train_dataset=rows["train"],
        eval_dataset=rows["eval"] if len(rows["eval"]) else None,
        processing_class=load_tokenizer(folder, trust_remote_code=recipe.model.trust_remote_code),
        peft_config=lora_config(plan),
        callbacks=[callback],
        folder=run.checkpoints,
        key=plan.checkpoint_key(),
        keep=recipe.training.save_total_limit,
        on_sealed=callback.on_sealed,
    )
    held.append(trainer)
    writer.write(loaded(trainer, time.monotonic() - started))
    return trainer, callback


def base_model(folder: Path, recipe: Recipe, plan: Plan, writer: EventWriter) -> tuple[Any, Plan]:
    """The base model, and the plan as this model can carry it out: with padding where rows cannot be joined.

    Raises ModelError, also where the recipe itself asks for padding-free and it cannot be right.
    """
    joins = plan.padding_free and plan.device == "cpu"
    if joins:
        segment_attention.register()
    model = load_model(
        folder,
        dtype=plan.dtype,
        quantization=recipe.model.bnb_4bit_quant_type if plan.method == "qlora" else None,
        double_quant=plan.double_quant,
        compute_dtype=plan.autocast if plan.autocast != "none" else "float32",
        attn_implementation=segment_attention.NAME if joins else plan.attn_implementation,
        device=plan.device,
        trust_remote_code=recipe.model.trust_remote_code,
    )
    check_targets(model, plan)
    layers: list[Any] = list(model.modules())
    for module in layers:
        # Else bitsandbytes repacks 4-bit weights in evaluation, and repacked ones hand no gradient back.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    why = ""
    if joins:
        why = segment_attention.unsupported_because(model.config) or segment_attention.misjoined_because(model)
    if not why:
        return model, plan
    if recipe.training.padding_free is True:
        raise ModelError(
            f"Rows cannot be joined without padding: {why}.",
            means="They would see each other.",
            remedy='Set training.padding_free = "auto" or false.',
        )
    writer.write(WarningRaised(text=clip(f"rows are padded instead of joined: {why}", 400)))
    model.set_attn_implementation(plan.attn_implementation)
    return model, replace(plan, padding_free=False)


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
    per_epoch = max(1, math.ceil(micro_batches / plan.gradient_accumulation_steps))
    return math.ceil(recipe.training.num_train_epochs * per_epoch)


def loaded(trainer: RunTrainer, seconds: float) -> ModelLoaded:
    parameters = list(trainer.model.parameters())
    return ModelLoaded(
        num_parameters=sum(parameter.numel() for parameter in parameters),
        num_trainable_parameters=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        seconds=round(seconds, 2),
        allocated_bytes=torch.cuda.memory_allocated() if trainer.args.device.type == "cuda" else None,
    )


def train(
    run: RunDir, trainer: RunTrainer, callback: RunCallback, newest: Checkpoint | None, writer: EventWriter
) -> None:
    """The steps that are left. A run that already has its last step trains nothing."""
    recipe = Recipe.load(run.recipe)
    rows: Dataset = trainer.train_dataset
    plan = Plan.from_json(read_json(run.plan(run.latest_plan_number())))
    max_steps = num_steps(recipe, plan, len(rows))
    writer.write(
        TrainingStarted(
            max_steps=max_steps,
            num_rows=len(rows),
            effective_batch_size=plan.effective_batch_size,
            resumed_from_step=newest.step if newest else 0,
        )
    )
    if newest and newest.step >= max_steps:
        trainer.take_over(newest)  # transformers would train one step more
        return
    callback.phase = "first step"
    trainer.train(resume_from_checkpoint=str(newest.path) if newest else None)


# torch has a type for the card's OOM, but none for the CPU's: the allocator, the C++ runtime and oneDNN (which
# needs memory for its kernels) each raise a RuntimeError of their own wording.
CPU_OUT_OF_MEMORY = (
    *("Cannot allocate memory", "DefaultCPUAllocator", "std::bad_alloc"),
    *("could not create a primitive", "could not create a memory"),
)


def is_out_of_memory(fault: BaseException) -> bool:
    """Whether an exception is some allocator's way of saying that memory ran out."""
    if isinstance(fault, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(words in str(fault) for words in CPU_OUT_OF_MEMORY)


def report_out_of_memory(
    number: int, writer: EventWriter, trainer: RunTrainer | None, callback: RunCallback | None, message: str
) -> None:
    """Drop the step's gradients, keep what the last finished step left, and say so."""
    phase = callback.phase if callback else "load"
    step = trainer.state.global_step if trainer else 0
    writer.write(OomHit(attempt=number, phase=phase, step=step, message=clip(message.split("\n")[0], 400)))
    # Inside the optimizer some weights may be updated and others not: only older checkpoints are true then.
    if trainer is not None and step > 0 and phase in ("step", "between steps", "eval", "save"):
        trainer.model.zero_grad(set_to_none=True)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            trainer.save_now()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as fault:
            writer.write(WarningRaised(text=f"no checkpoint of step {step}: {clip(str(fault), 200)}"))
    writer.write(TrainingEnded(outcome="out_of_memory", step=step, reason=clip(message, 400)))


def main(arguments: list[str]) -> int:
    run, number = RunDir(Path(arguments[0])), int(arguments[2])
    stop = StopFlag()
    stop.watch()
    die_with_parent(int(arguments[1]))
    writer = EventWriter(run.event_file(f"attempt-{number}"))
    return at_edge(lambda: attempt(run, number, writer, stop), writer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
