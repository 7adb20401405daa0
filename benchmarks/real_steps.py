"""Real training steps on this CPU against what the dry run says of them. The promise: within 1 % each.

Every case is a small model of a real shape with random weights, built, loaded and trained as an attempt does it
(`engine.training.attempt.build`). In the second optimizer step every allocator event counts; with what lies there
between steps, that is the peak. `python benchmarks/real_steps.py [NAME …]` prints a line per case and ends with 1
where one misses.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

import torch
from tokenizers import Tokenizer, models
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
from transformers.utils import logging as transformers_logging

from engine.event_log import EventWriter
from engine.hardware import read_hardware
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.row_lengths import RowLengths
from engine.run_dir import RunDir
from engine.step_specs import spec_of
from engine.training.building import build
from engine.training.dataset_files import write_split
from engine.training.dry_run.dry_run import dry_run
from engine.training.measured_step import Measured, Meter
from engine.training.probe import allocated_bytes
from engine.training.rendering import IGNORED, Rendered
from engine.training.trainer import RunTrainer

MOST_OFF = 0.01
"""Largest difference from the real peak, as a share of it."""
MiB = 1 << 20


def _shape(model_type: str, vocab_size: int, sizes: tuple[int, int, int, int, int], **more: Any) -> dict[str, Any]:
    names = (
        *("hidden_size", "intermediate_size", "num_hidden_layers"),
        *("num_attention_heads", "num_key_value_heads"),
    )
    return {"model_type": model_type, "vocab_size": vocab_size, **dict(zip(names, sizes, strict=True)), **more}


_GEMMA = {"head_dim": 256, "sliding_window": 512, "query_pre_attn_scalar": 256}

SHAPES = {
    # SmolLM2-135M, all 30 layers.
    "smollm2": _shape("llama", 49152, (576, 1536, 30, 9, 3), tie_word_embeddings=True),
    # Llama 3.2 1B with fewer layers and words.
    "llama": _shape("llama", 32000, (2048, 8192, 2, 32, 8), tie_word_embeddings=False),
    # Qwen2.5 0.5B with fewer layers and all its words.
    "qwen2": _shape("qwen2", 151936, (896, 4864, 3, 14, 2), tie_word_embeddings=True),
    # Gemma 3 1B with fewer layers and words: five layers that look back 512 tokens, then one that sees all.
    "gemma3": _shape("gemma3_text", 65536, (1152, 6912, 6, 4, 1), tie_word_embeddings=True, **_GEMMA),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One training step. `rows` are the tokens of each row of a micro-batch; a third of each is prompt.

    `plan` holds what differs from a LoRA plan in float32 without autocast and without gradient checkpointing.
    """

    name: str
    shape: str
    rows: tuple[int, ...]
    plan: dict[str, Any] = field(default_factory=dict)


_BF16 = {"autocast": "bfloat16"}
_GC = {"gradient_checkpointing": True}
_SELECTIVE = {**_GC, "selective_checkpointing": True}
_PADDED = {"padding_free": False}
_QLORA = {"method": "qlora", "r": 64, "use_rslora": True}
_LOGITS = {"fused_loss": False, "gradient_accumulation_steps": 2}
_STOCK_DORA = {"use_dora": True, "lean_dora": False}
_LEAN_DORA = {"use_dora": True, "lean_dora": True}

CASES = (
    Case("lora", "smollm2", (60, 50, 40, 20)),
    Case("full, checkpointing, bf16 autocast", "smollm2", (96,) * 2, {"method": "full", **_GC, **_BF16}),
    Case("lora, bf16 weights", "llama", (128, 100), {"dtype": "bfloat16"}),
    Case("lora, bf16 weights and autocast, checkpointing", "llama", (256, 200), {"dtype": "bfloat16", **_BF16, **_GC}),
    Case("full, bf16 weights, checkpointing", "llama", (128,), {"method": "full", "dtype": "bfloat16", **_GC}),
    Case("full, bf16 autocast, adamw_torch", "smollm2", (128,), {"method": "full", "optim": "adamw_torch", **_BF16}),
    Case("lora, padded, 2 micro-batches", "llama", (200, 200), {**_PADDED, "gradient_accumulation_steps": 2}),
    Case("qlora r64 rslora, checkpointing, bf16 autocast", "llama", (256, 200), {**_QLORA, **_GC, **_BF16}),
    Case("qlora, one scale a block", "llama", (128,), {**_QLORA, "double_quant": False}),
    Case("lora, padded, bf16 autocast", "qwen2", (160, 120), {**_PADDED, **_BF16}),
    Case("full, 8-bit AdamW", "smollm2", (100,), {"method": "full", "optim": "adamw_8bit"}),
    Case("lora r32, beyond the window", "gemma3", (640,), {"r": 32, **_GC}),
    Case("dora r32 of PEFT", "gemma3", (256,), {"r": 32, **_STOCK_DORA, **_BF16}),
    Case("lean dora r32", "gemma3", (256,), {"r": 32, **_LEAN_DORA, **_BF16}),
    Case("qlora r64 dora of PEFT", "gemma3", (256,), {**_QLORA, **_STOCK_DORA, **_BF16}),
    Case("qlora r64 lean dora", "gemma3", (256,), {**_QLORA, **_LEAN_DORA, **_BF16}),
    Case("lora, all logits", "smollm2", (100, 80), {"fused_loss": False, **_BF16}),
    Case("lora, padded, all logits, 2 micro-batches", "llama", (200, 150), {**_PADDED, **_LOGITS}),
    Case("lora, padded, selective checkpointing", "smollm2", (200, 150), {**_PADDED, **_SELECTIVE}),
)


def write_model(folder: Path, shape: Mapping[str, Any]) -> Path:
    """A complete folder of a model with this config.json, random weights in bfloat16; made once."""
    if not folder.is_dir():
        torch.manual_seed(0)
        config = AutoConfig.for_model(**shape, eos_token_id=1, pad_token_id=0)
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.save_pretrained(folder)
        words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "<unk>": 2}, unk_token="<unk>"))
        PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", pad_token="<pad>").save_pretrained(folder)
    return folder


def planned(case: Case, folder: Path, device: str) -> tuple[Recipe, Plan]:
    """The recipe and the plan of a case, on this machine: "cpu" without its cards, "cuda:0" with them."""
    values = {
        "model": {"name_or_path": str(folder)},
        "data": {"dataset": "rows.jsonl"},
        "adapter": {"method": "lora", "r": 16, "lora_alpha": 32},
        "training": {"max_steps": 2, "save_steps": 100, "gradient_checkpointing": False},
        "memory": {"probe": False},
    }
    machine = read_hardware()
    if device == "cpu":
        machine = replace(machine, gpus=(), gpu_note="measured on the CPU")
    recipe = Recipe.from_values(values)
    usual: dict[str, Any] = {"num_threads": 1, "max_length": max(case.rows)}
    if device == "cpu":
        usual |= {"dtype": "float32", "autocast": "none"}
    counted = RowLengths.of((tokens, tokens - tokens // 3) for tokens in case.rows)
    size = {"per_device_train_batch_size": len(case.rows), "rows": counted, "has_eval": False}
    settled = replace(plan(recipe, machine, None), **{**usual, **size, **case.plan})
    return recipe, settled


def device_of(trainer: RunTrainer) -> str:
    """cpu or cuda:0, as `Meter` names it."""
    return "cpu" if trainer.args.device.type == "cpu" else str(trainer.args.device)


class SecondStep(TrainerCallback):
    """Measures the second optimizer step of a trainer, forward and backward pass and the optimizer apart."""

    def __init__(self, trainer: RunTrainer) -> None:
        self.trainer, self.meter = trainer, Meter(device_of(trainer))
        self.resident_bytes = 0
        self._compute_loss, self._backward = trainer.compute_loss, trainer.accelerator.backward
        trainer.compute_loss, trainer.accelerator.backward = self._forward_pass, self._backward_pass
        trainer.add_callback(self)

    @property
    def measures(self) -> bool:
        return self.resident_bytes > 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        if state.global_step == 1:
            gc.collect()
            self.resident_bytes = allocated_bytes(self.trainer)
            self.meter.__enter__()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        if self.measures:
            self.meter.enter("optimizer")

    def on_step_end(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        if self.measures:
            self.meter.__exit__(None, None, None)

    def _forward_pass(self, *given: Any, **named: Any) -> Any:
        if self.measures:
            self.meter.enter("forward")
        return self._compute_loss(*given, **named)

    def _backward_pass(self, *given: Any, **named: Any) -> Any:
        if self.measures:
            self.meter.enter("backward")
        return self._backward(*given, **named)


def prepare(case: Case, folder: Path, place: Path, device: str) -> tuple[RunDir, Recipe, Plan]:
    """A run directory below `place` in which only the attempt is missing; its recipe and plan."""
    recipe, settled = planned(case, folder, device)
    run = RunDir.create(place, "step")
    run.recipe.write_text(recipe.to_toml())
    run.model.write_text(json.dumps({"name": str(folder), "kind": "folder", "folder": str(folder)}))
    run.plan(1).write_text(json.dumps(settled.to_json()))
    config = json.loads((folder / "config.json").read_text())
    numbers, vocabulary = random.Random(0), config.get("text_config", config)["vocab_size"]
    rows = []
    for line, tokens in enumerate(case.rows * settled.gradient_accumulation_steps, 1):
        ids = [numbers.randrange(3, vocabulary) for _ in range(tokens)]
        rows.append(Rendered(line, ids, [IGNORED] * (tokens // 3) + ids[tokens // 3 :], True))
    write_split(run.dataset, "train", rows)
    write_split(run.dataset, "eval", [])
    return run, recipe, settled


def real_step(case: Case, folder: Path, place: Path, device: str = "cpu") -> tuple[int, Measured[None], Plan]:
    """What lies there between steps, in bytes; the second step as measured; the plan it followed."""
    run, recipe, settled = prepare(case, folder, place, device)
    trainer, callback = build(run, recipe, settled, EventWriter(run.event_file("attempt-1")), lambda: False)
    trainer.remove_callback(callback)  # it measures too, and two cannot at once
    trainer.remove_callback(PrinterCallback)  # the table is ours
    step = SecondStep(trainer)
    trainer.train()
    return step.resident_bytes, step.meter.measured(None), settled


def row(case: Case, place: Path) -> tuple[str, int, int]:
    """Name, real peak and predicted peak of one case, in bytes. `place` keeps the models for further cases."""
    folder = write_model(place / case.shape, SHAPES[case.shape])
    resident, measured, settled = real_step(case, folder, place / "runs")
    gc.collect()
    config = json.loads((folder / "config.json").read_text())
    return (
        f"{case.shape}: {case.name}",
        resident + measured.peak_bytes,
        dry_run(config, spec_of(settled)).peak_bytes,
    )


def rows(cases: Iterable[Case] = CASES) -> list[tuple[str, int, int]]:
    """Name, real bytes and predicted bytes of every case."""
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)
    with tempfile.TemporaryDirectory(prefix="finetui-real-steps-") as place:
        return [row(case, Path(place)) for case in cases]


def main(names: Sequence[str]) -> int:
    """Print a line per case; 1 when one is more than 1 % off."""
    chosen = [case for case in CASES if not names or any(name in f"{case.shape}: {case.name}" for name in names)]
    worst = 0.0
    print(f"{'':60}{'real':>9}{'dry run':>9}   MiB")
    for case in chosen:
        begin = time.perf_counter()
        ((name, real, predicted),) = rows([case])
        off = predicted / real - 1
        worst = max(worst, abs(off))
        spent = time.perf_counter() - begin
        print(f"{name:60}{real / MiB:9.1f}{predicted / MiB:9.1f}{off:+8.2%}   {spent:.0f} s", flush=True)
    kept = worst <= MOST_OFF
    print(f"{len(chosen)} real steps, each within {MOST_OFF:.0%}: {'kept' if kept else 'MISSED'} (worst {worst:.2%})")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
