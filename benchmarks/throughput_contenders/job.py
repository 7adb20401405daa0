"""What a contender is asked to do, and the marks that it leaves: time, CPU time and real tokens after each step.

Not here: finetui's run, whose marks are its own event lines (`product`).
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

IGNORED = -100
"""Label of a position that is not trained on."""


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement.

    `rows` and `held_out` are files of JSON lines with `input_ids` and `labels`. A step takes `batch_size` rows, or
    `packs_per_step` packs of at most `pack_length` tokens where rows are packed: about as many real tokens.
    `folder` is empty at the start; it gets `marks.jsonl` and, with `saves`, the adapter under `adapter`.
    """

    model: str
    rows: str
    held_out: str
    folder: str
    warmup: int
    steps: int
    batch_size: int
    max_length: int
    pack_length: int
    packs_per_step: int
    learning_rate: float
    r: int
    lora_alpha: int
    seed: int
    saves: bool

    @property
    def total_steps(self) -> int:
        return self.warmup + self.steps

    @property
    def adapter(self) -> Path:
        return Path(self.folder, "adapter")

    @property
    def marks(self) -> Path:
        return Path(self.folder, "marks.jsonl")

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @staticmethod
    def read(path: str) -> Job:
        return Job(**json.loads(Path(path).read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Mark:
    """After optimizer step `step` (0: nothing was done yet).

    `time` is Unix seconds, `cpu` the CPU-seconds of the process so far, `tokens` the real ones of all steps so far,
    `peak_bytes` the largest resident size so far, on a card the most that torch had allocated.
    """

    step: int
    time: float
    cpu: float
    tokens: int
    peak_bytes: int


def read_rows(path: str) -> list[dict[str, list[int]]]:
    """The tokenized rows of a file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


class Marks:
    """Writes the marks of one process; counts real tokens by looking at what the model is given."""

    def __init__(self, job: Job) -> None:
        self._file = job.marks.open("a", encoding="utf-8", buffering=1)
        self._ends = (job.warmup, job.total_steps)
        self._tokens = self._step = 0
        self._cuda = torch.cuda.is_available()

    def watch(self, model: Any) -> None:
        """Count the tokens of every training forward of `model`; padding is what its mask leaves out."""
        model.register_forward_pre_hook(self._look, with_kwargs=True)

    def count(self, tokens: int) -> None:
        self._tokens += tokens

    def _look(self, module: Any, _: Any, given: dict[str, Any]) -> None:
        if module.training and torch.is_grad_enabled():
            self.count(real_tokens(given["input_ids"], given.get("attention_mask")))

    def step(self) -> None:
        """Told after each optimizer step. A card is waited for at the ends of the window only."""
        self._step += 1
        if self._cuda and self._step in self._ends:
            torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() if self._cuda else peak_bytes("self")
        mark = Mark(self._step, time.time(), time.process_time(), self._tokens, peak)
        self._file.write(json.dumps(asdict(mark)) + "\n")


def real_tokens(input_ids: torch.Tensor, mask: torch.Tensor | None) -> int:
    """Tokens that are not padding. Without a mask all are; a 4-dimensional one lets every real token see itself."""
    if mask is None:
        return input_ids.numel()
    if mask.ndim == 4:
        itself = mask.diagonal(dim1=-2, dim2=-1)
        return int((itself if mask.dtype == torch.bool else itself == 0).sum())
    return int((mask != 0).sum())


def peak_bytes(pid: int | str) -> int:
    """The largest resident size a process had so far (VmHWM of proc(5))."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    return int(found[1]) * 1024 if found else 0


def callback(marks: Marks) -> Any:
    """A callback for transformers' Trainer that marks every step."""
    from transformers import TrainerCallback

    class Marking(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.step()

    return Marking()
