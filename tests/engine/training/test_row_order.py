"""The order of rows: steps take the rows that chance gave them, and sorting inside one changes nothing but padding."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from accelerate.data_loader import BatchSamplerShard, SeedableRandomSampler
from torch.utils.data import BatchSampler

from engine.training.row_order import ByStep, GroupedByLength, row_lengths

# peft asks a model of transformers under the old name of a property; it answers as ever.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
NUMBERS = random.Random(4)
LENGTHS = [NUMBERS.randint(1, 200) for _ in range(103)]


@pytest.mark.parametrize("epoch", [0, 3])
def test_every_step_has_the_rows_of_random_order_the_longest_first(epoch: int) -> None:
    drawn, ours = SeedableRandomSampler(range(len(LENGTHS)), data_seed=7), ByStep(LENGTHS, 16, 7)
    drawn.set_epoch(epoch)
    ours.set_epoch(epoch)
    plain, sorted_rows = list(drawn), list(ours)
    for start in range(0, len(LENGTHS), 16):
        step = sorted_rows[start : start + 16]
        assert sorted(step) == sorted(plain[start : start + 16])
        assert [LENGTHS[row] for row in step] == sorted((LENGTHS[row] for row in step), reverse=True)


@pytest.mark.parametrize("kind", [ByStep, GroupedByLength])
def test_an_epoch_has_every_row_once_in_an_order_of_its_own_that_comes_again(kind: Any) -> None:
    first, again = kind(LENGTHS, 16, 7), kind(LENGTHS, 16, 7)
    epochs = [list(first), list(first)]
    again.set_epoch(1)
    assert epochs[0] != epochs[1] == list(again)
    assert all(sorted(epoch) == list(range(len(LENGTHS))) for epoch in epochs)


def test_ranks_get_neighbouring_micro_batches_of_one_step() -> None:
    """accelerate hands batch i to rank i % ranks: with 2 ranks, micro-batch 4 and accumulation 2 a step is 16 rows."""
    shards = [
        list(islice(BatchSamplerShard(BatchSampler(ByStep(LENGTHS, 16, 7), 4, False), 2, rank), 2)) for rank in (0, 1)
    ]
    drawn = list(islice(SeedableRandomSampler(range(len(LENGTHS)), data_seed=7), 16))
    assert sorted(row for shard in shards for batch in shard for row in batch) == sorted(drawn)
    by_micro_step = [[max(LENGTHS[row] for row in shard[at]) for shard in shards] for at in (0, 1)]
    assert min(by_micro_step[0]) >= max(by_micro_step[1]), "both ranks have their long rows at the same time"


PLAIN = {"padding_free": False, "max_steps": 5, "learning_rate": 1e-3, "save_steps": 2, "save_total_limit": 9}
SIZES = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}


def train(made: Any, **changes: Any) -> list[tuple[int, ...]]:
    """Train to the end, from the newest checkpoint on; the lines of the rows of every step."""
    trainer, callback = made.build(**SIZES | changes)
    taken: list[tuple[int, ...]] = []
    draw = trainer.get_batch_samples

    def noted(*arguments: Any, **named: Any) -> Any:
        batches = draw(*arguments, **named)
        taken.append(trainer.lines)
        return batches

    trainer.get_batch_samples = noted
    made.train(trainer, callback)
    return taken


def test_sorting_the_rows_of_a_step_changes_neither_its_rows_nor_its_loss(rig: Callable[..., Any]) -> None:
    """5 steps of 6 of the 20 rows: the fourth is what is left of the first epoch."""
    by_chance, by_length = (rig(training=PLAIN | {"train_sampling_strategy": order}) for order in ("random", "auto"))
    assert by_length.plan.train_sampling_strategy == "by_step"
    rows, sorted_rows = train(by_chance), train(by_length)
    assert rows != sorted_rows
    assert [sorted(step) for step in rows] == [sorted(step) for step in sorted_rows]
    plain, ours = by_chance.steps(), by_length.steps()
    assert [each.loss for each in ours] == pytest.approx([each.loss for each in plain], rel=1e-5)
    assert [each.num_tokens for each in ours] == [each.num_tokens for each in plain]


@pytest.mark.parametrize("order", ["auto", "group_by_length"])
def test_a_run_that_stopped_within_an_epoch_goes_on_with_the_rows_that_were_next(
    rig: Callable[..., Any], order: str
) -> None:
    made = rig(training=PLAIN | {"train_sampling_strategy": order})
    straight = train(made)
    for sealed in made.run.checkpoints.glob("checkpoint-*"):
        if sealed.name != "checkpoint-2":
            shutil.rmtree(sealed)
    assert train(made) == straight[2:]


def test_rows_in_the_order_of_the_file_stay_there(rig: Callable[..., Any]) -> None:
    trainer, _ = rig(training={"train_sampling_strategy": "sequential"}).build()
    assert list(trainer._get_train_sampler()) == list(range(20))
    assert row_lengths(trainer.train_dataset) == [len(row) for row in trainer.train_dataset["input_ids"]]
