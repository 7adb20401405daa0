"""The order in which an epoch takes its rows: at random, sorted by length within each step, or by length throughout.

Every order is a function of seed and epoch alone, so a resumed run and every rank see the same one. Not here: which
order a plan takes (`tuning.picks`), and dealing the batches out to ranks (accelerate: batch i to rank i % ranks).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow.compute as pc
import torch
from accelerate.data_loader import SeedableRandomSampler
from datasets import Dataset
from torch.utils.data import Sampler, SequentialSampler
from transformers import TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices


def sampler_of(strategy: str, rows: Dataset, args: TrainingArguments) -> Sampler[int] | None:
    """The train sampler of a plan's order; None where transformers' own, which draws at random, does."""
    if strategy == "random":
        return None
    if strategy == "sequential":
        return SequentialSampler(rows)
    seed = args.seed if args.data_seed is None else args.data_seed
    window = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    kind = {"by_step": ByStep, "group_by_length": GroupedByLength}[strategy]
    return kind(row_lengths(rows), window, seed)


def row_lengths(rows: Dataset) -> list[int]:
    """Tokens of every row."""
    lengths: list[int] = pc.list_value_length(rows.with_format("arrow")[:]["input_ids"]).to_pylist()
    return lengths


class _OfEpoch(Sampler[int]):
    """Rows of an epoch; accelerate sets `epoch`, which also counts by itself. `window` is the rows of one step."""

    def __init__(self, lengths: Sequence[int], window: int, seed: int) -> None:
        self.lengths, self.window, self.seed = lengths, window, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)


class ByStep(_OfEpoch):
    """As accelerate draws them at random, but the rows of one step stand sorted, the longest first.

    A step takes the same rows as in random order, and its loss is normalized by all of its tokens: only which rows
    share a micro-batch, and so how far they are padded, is another. The longest come first, so memory peaks at once.
    """

    def __iter__(self) -> Iterator[int]:
        drawn = SeedableRandomSampler(self.lengths, data_seed=self.seed)
        drawn.set_epoch(self.epoch)
        order = list(drawn)
        self.epoch += 1
        for start in range(0, len(order), self.window):
            yield from sorted(order[start : start + self.window], key=lambda row: -self.lengths[row])


class GroupedByLength(_OfEpoch):
    """transformers' groups of rows alike in length, drawn by seed and epoch instead of the process's random state."""

    def __iter__(self) -> Iterator[int]:
        numbers = torch.Generator().manual_seed(self.seed + self.epoch)
        self.epoch += 1
        yield from get_length_grouped_indices(self.lengths, self.window, generator=numbers)
