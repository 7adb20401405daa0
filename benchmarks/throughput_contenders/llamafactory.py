"""LLaMA-Factory through its own `run_exp`: `default` as it comes, `best` without recomputation and with neat packing.

Its rows are numbers of lines; where it would turn a row's text into tokens, it is handed those of everyone else, so
that reading, packing, collating and training are its own. Needs a Python of its own (`--peer-python`).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.throughput_contenders.job import Job, Marks, callback, read_rows


def run(job: Job, *, best: bool) -> None:
    os.environ["DISABLE_VERSION_CHECK"] = "1"
    import torch
    from llamafactory.data.processor.supervised import SupervisedDatasetProcessor
    from llamafactory.train.tuner import run_exp

    rows, marks = read_rows(job.rows), Marks(job)

    def encode(_: Any, prompt: list[dict[str, str]], **__: Any) -> tuple[list[int], list[int]]:
        row = rows[int(prompt[0]["content"])]
        return row["input_ids"], row["labels"]

    SupervisedDatasetProcessor._encode_data_example = encode
    dataset = Path(job.folder, "rows")
    dataset.mkdir()
    lines = [{"instruction": str(number), "input": "", "output": "-"} for number in range(len(rows))]
    (dataset / "rows.json").write_text(json.dumps(lines), encoding="utf-8")
    (dataset / "dataset_info.json").write_text('{"rows": {"file_name": "rows.json"}}', encoding="utf-8")
    watch_models(marks)
    packs = {
        "cutoff_len": -(-job.pack_length // 8) * 8,  # it pads packs to that, and cannot train on them then
        "packing": True,
        "neat_packing": True,
        "disable_gradient_checkpointing": True,
        "per_device_train_batch_size": job.packs_per_step,
    }
    cpu = not torch.cuda.is_available()
    run_exp(
        {
            "model_name_or_path": job.model,
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "lora",
            "lora_target": "all",
            "lora_rank": job.r,
            "lora_alpha": job.lora_alpha,
            "lora_dropout": 0.0,
            "dataset": "rows",
            "dataset_dir": str(dataset),
            "template": "default",
            "cutoff_len": job.max_length,
            "preprocessing_num_workers": 1,
            "dataloader_num_workers": 0,
            "output_dir": str(job.adapter),
            "max_steps": job.total_steps,
            "per_device_train_batch_size": job.batch_size,
            "learning_rate": job.learning_rate,
            "lr_scheduler_type": "linear",
            "bf16": True,
            "use_cpu": cpu,
            "seed": job.seed,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            **(packs if best else {}),
        },
        callbacks=[callback(marks)],
    )


def watch_models(marks: Marks) -> None:
    """Count the tokens of the model that LLaMA-Factory is going to load."""
    from llamafactory.train.sft import workflow

    load = workflow.load_model

    def loaded(*arguments: Any, **named: Any) -> Any:
        model = load(*arguments, **named)
        marks.watch(model)
        return model

    workflow.load_model = loaded


if __name__ == "__main__":
    run(Job.read(sys.argv[1]), best=sys.argv[2] == "best")
