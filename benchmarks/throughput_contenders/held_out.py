"""Mean loss per labelled token of the held-out rows under an adapter: one judge for every contender.

`python -m benchmarks.throughput_contenders.held_out JOB.json` prints the loss. Row by row, plain attention, float32
cross entropy: nothing in it is finetui's.
"""

from __future__ import annotations

import sys

import torch
from torch.nn.functional import cross_entropy

from benchmarks.throughput_contenders.job import IGNORED, Job, read_rows


def mean_loss(job: Job) -> float:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    base = AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32).to(device)
    model = PeftModel.from_pretrained(base, job.adapter).to(device).eval()
    total, count = 0.0, 0
    with torch.no_grad(), torch.autocast(device, torch.bfloat16):
        for row in read_rows(job.held_out):
            labels = torch.tensor(row["labels"][1:], device=device)
            logits = model(input_ids=torch.tensor([row["input_ids"]], device=device)).logits[0, :-1].float()
            total += float(cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum"))
            count += int((labels != IGNORED).sum())
    return total / count


if __name__ == "__main__":
    print(mean_loss(Job.read(sys.argv[1])))
