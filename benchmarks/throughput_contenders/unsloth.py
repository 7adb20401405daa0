"""Unsloth as its documentation starts a LoRA run: FastLanguageModel, its own recomputation, packing off or by itself.

It wants an accelerator; elsewhere it says so, and the table names it absent.
"""

from __future__ import annotations

import sys

from benchmarks.throughput_contenders.job import Job, Marks, callback, read_rows


def run(job: Job) -> None:
    from unsloth import FastLanguageModel  # its patches want to come before trl and transformers
    from datasets import Dataset  # isort: skip
    from trl import SFTConfig, SFTTrainer  # isort: skip

    model, tokenizer = FastLanguageModel.from_pretrained(job.model, max_seq_length=job.max_length, load_in_4bit=False)
    model = FastLanguageModel.get_peft_model(
        model, r=job.r, lora_alpha=job.lora_alpha, lora_dropout=0, bias="none", random_state=job.seed
    )
    marks = Marks(job)
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(read_rows(job.rows)),
        args=SFTConfig(
            output_dir=f"{job.folder}/trainer",
            max_steps=job.total_steps,
            per_device_train_batch_size=job.batch_size,
            max_length=job.max_length,
            learning_rate=job.learning_rate,
            seed=job.seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        callbacks=[callback(marks)],
    )
    marks.watch(trainer.model)
    trainer.train()
    if job.saves:
        trainer.model.save_pretrained(job.adapter)


if __name__ == "__main__":
    run(Job.read(sys.argv[1]))
