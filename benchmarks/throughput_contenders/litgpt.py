"""litgpt's own `finetune_lora`: `default` with micro-batches of one row, `best` with as many rows as a step has.

Same precision, adapter, optimizer and schedule as everyone; clipping it does not offer. Its adapters are of a kind of
their own, so it judges the held-out rows itself. Needs a Python of its own (`--peer-python`).
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from litgpt.args import EvalArgs, TrainArgs
from litgpt.data.base import DataModule, get_sft_collate_fn
from litgpt.finetune import lora
from litgpt.scripts.convert_hf_checkpoint import convert_hf_checkpoint
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from benchmarks.throughput_contenders.job import IGNORED, Job, Marks, read_rows

KNOWN_AS = "SmolLM2-135M-Instruct"
"""litgpt reads a model's shape from a list of its own, not from config.json."""


class Rows(DataModule):  # type: ignore[misc]
    """Everyone's rows as litgpt's data modules hand them out; counts the real tokens of what is trained on."""

    def __init__(self, job: Job, marks: Marks) -> None:
        super().__init__()
        self.job, self.marks, self.size, self.prompt_style = job, marks, 1, None

    def connect(self, *, batch_size: int, **_: Any) -> None:
        self.size = batch_size

    def train_dataloader(self) -> Any:
        def collate(rows: list[dict[str, Any]]) -> Any:
            self.marks.count(sum(len(row["input_ids"]) for row in rows))
            return get_sft_collate_fn()(rows)

        order = torch.Generator().manual_seed(self.job.seed)
        rows = tensors(self.job.rows)
        return DataLoader(rows, batch_size=self.size, shuffle=True, generator=order, collate_fn=collate)  # type: ignore[arg-type]

    def val_dataloader(self) -> Any:
        return DataLoader(tensors(self.job.held_out), batch_size=self.size, collate_fn=get_sft_collate_fn())  # type: ignore[arg-type]


class Schedule(torch.optim.lr_scheduler.LambdaLR):
    """Linear to zero, as everyone's, and a mark after each step."""

    def __init__(self, optimizer: Any, steps: int, marks: Marks) -> None:
        self.marks: Marks | None = None
        super().__init__(optimizer, lambda step: max(0.0, 1 - step / steps))
        self.marks = marks

    def step(self, epoch: int | None = None) -> None:
        super().step(epoch)
        if self.marks is not None:
            self.marks.step()


def run(job: Job, *, best: bool) -> None:
    marks = Marks(job)
    lora.get_lr_scheduler = lambda optimizer, **_: Schedule(optimizer, job.total_steps, marks)
    lora.save_lora_checkpoint = lambda fabric, model, _: judge(job, fabric, model)
    for name in ("copy_config_files", "save_hyperparameters", "save_prompt_style", "merge_lora"):
        setattr(lora, name, lambda *_, **__: None)  # after the last step, and of no use here
    parts = ("query", "key", "value", "projection", "mlp")
    lora.setup(
        checkpoint_dir=converted(job),
        out_dir=Path(job.folder, "litgpt"),
        precision="bf16-mixed",
        lora_r=job.r,
        lora_alpha=job.lora_alpha,
        lora_dropout=0.0,
        **{f"lora_{part}": True for part in parts},
        data=Rows(job, marks),
        train=TrainArgs(
            save_interval=None,
            log_interval=1,
            global_batch_size=job.batch_size,
            micro_batch_size=job.batch_size if best else 1,
            lr_warmup_steps=0,
            epochs=2,
            max_steps=job.total_steps,
        ),
        eval=EvalArgs(interval=10**9, max_new_tokens=1, max_iters=1, final_validation=False),
        optimizer={"class_path": "torch.optim.AdamW", "init_args": {"lr": job.learning_rate, "weight_decay": 0.0}},
        seed=job.seed,
    )


def converted(job: Job) -> Path:
    """The model as litgpt wants it, made once for all measurements of a shape."""
    folder = Path(job.folder).parent / KNOWN_AS
    if not folder.exists():
        shutil.copytree(job.model, folder)
        convert_hf_checkpoint(folder, model_name=KNOWN_AS)
    return folder


def judge(job: Job, fabric: Any, model: Any) -> None:
    """Mean loss per labelled token, as `held_out` measures that of the others."""
    if not job.saves:
        return
    total, count = 0.0, 0
    model.eval()
    with torch.no_grad():
        for row in read_rows(job.held_out):
            labels = torch.tensor(row["labels"][1:], device=fabric.device)
            logits = model(torch.tensor([row["input_ids"]], device=fabric.device))[0, :-1].float()
            total += float(cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum"))
            count += int((labels != IGNORED).sum())
    Path(job.folder, "held_out.json").write_text(json.dumps(total / count), encoding="utf-8")


def tensors(path: str) -> list[dict[str, Any]]:
    """Rows as litgpt's datasets hold them."""
    return [
        {
            "input_ids": torch.tensor(row["input_ids"]),
            "labels": torch.tensor(row["labels"]),
            "token_counts": {"raw": len(row["input_ids"]), "raw_plus_prompt_template": len(row["input_ids"])},
        }
        for row in read_rows(path)
    ]


if __name__ == "__main__":
    run(Job.read(sys.argv[1]), best=sys.argv[2] == "best")
