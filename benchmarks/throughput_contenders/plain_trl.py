"""TRL's SFTTrainer: `default` as it comes, `best` as its documentation advises for speed.

Best: no recomputation, rows packed best-fit (`packing_strategy = "bfd"`, which keeps rows apart), base weights in the
type finetui gives them. On a card also FlashAttention 2 where its package is installed.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

from benchmarks.throughput_contenders.job import Job, Marks, callback, read_rows


def run(job: Job, *, best: bool) -> None:
    cuda = torch.cuda.is_available()
    options: dict[str, Any] = {"per_device_train_batch_size": job.batch_size, "max_length": job.max_length}
    if best:
        options = {
            "per_device_train_batch_size": job.packs_per_step,
            "packing": True,
            "max_length": job.pack_length,
            "activation_checkpointing": False,
        }
        if cuda:
            flash = importlib.util.find_spec("flash_attn") is not None
            attention = {"attn_implementation": "flash_attention_2"} if flash else {}
            options["model_init_kwargs"] = {"dtype": "bfloat16", **attention}
    marks = Marks(job)
    trainer = SFTTrainer(
        model=job.model,
        args=SFTConfig(
            output_dir=f"{job.folder}/trainer",
            max_steps=job.total_steps,
            learning_rate=job.learning_rate,
            seed=job.seed,
            data_seed=job.seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not cuda,
            **options,
        ),
        train_dataset=Dataset.from_list(read_rows(job.rows)),
        processing_class=AutoTokenizer.from_pretrained(job.model),
        peft_config=LoraConfig(r=job.r, lora_alpha=job.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[callback(marks)],
    )
    marks.watch(trainer.model)
    trainer.train()
    if job.saves:
        trainer.model.save_pretrained(job.adapter)


if __name__ == "__main__":
    run(Job.read(sys.argv[1]), best=sys.argv[2] == "best")
