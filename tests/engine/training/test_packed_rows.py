"""Packs: whole rows in packs that are as full as they get, whose rows never see each other and keep their lines."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.packing import best_fit, packed, packs_of
from engine.row_lengths import RowLengths
from engine.training.dataset_files import num_rows
from engine.training.rendering import IGNORED

# peft asks a model of transformers under the old name of a property; it answers as ever.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
PACKING: dict[str, Any] = {"packing": True, "max_length": 64, "max_steps": 2, "learning_rate": 1e-3, "save_steps": 100}


@settings(max_examples=80)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 30))
def test_the_packs_that_are_made_are_those_that_are_counted(lengths: list[int], max_length: int) -> None:
    packs = best_fit(lengths, max_length)
    assert sorted(row for pack in packs for row in pack) == list(range(len(lengths)))
    sizes = [sum(min(lengths[row], max_length) for row in pack) for pack in packs]
    assert max(sizes) <= max_length
    assert len(packs) == packed(lengths, max_length, rows_at_once=None).num_packs
    counted = packs_of({length: lengths.count(length) for length in lengths}, max_length)
    assert counted == {size: sizes.count(size) for size in sizes}


def test_a_pack_has_whole_rows_and_their_lines(rig: Callable[..., Any]) -> None:
    made = rig(training=PACKING)
    trainer, _ = made.build()
    whole = {row["line"]: row for row in rig(training={"max_length": 64}).build()[0].train_dataset}
    packs = list(trainer.train_dataset)
    assert num_rows(trainer.train_dataset) == 20 > len(packs)
    assert sorted(line for pack in packs for line in pack["line"]) == sorted(whole)
    for pack in packs:
        assert pack["seq_lengths"] == [len(whole[line]["input_ids"]) for line in pack["line"]]
        for name in ("input_ids", "labels"):
            assert pack[name] == [token for line in pack["line"] for token in whole[line][name]]
    batch = trainer.data_collator(packs[:2])
    assert batch["lines"] == [*packs[0]["line"], *packs[1]["line"]]
    starts = batch["cu_seq_lens_q"].diff().tolist()
    assert starts == [*packs[0]["seq_lengths"], *packs[1]["seq_lengths"]]
    assert batch["labels"][0][batch["cu_seq_lens_q"][:-1].long()].tolist() == [IGNORED] * len(starts)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_the_rows_of_a_pack_never_see_each_other(rig: Callable[..., Any], family: str) -> None:
    trainer, _ = rig(family, training=PACKING).build()
    pack = next(dict(pack) for pack in trainer.train_dataset if len(pack["line"]) > 2)
    changed = {**pack, "input_ids": [*pack["input_ids"]]}
    first, second = pack["seq_lengths"][:2]
    for place in range(first, first + second):
        changed["input_ids"][place] = (changed["input_ids"][place] + 1) % 50
    trainer.model.eval()
    with torch.no_grad():
        logits, other = (
            trainer.model(
                **{
                    name: value
                    for name, value in trainer._prepare_inputs(trainer.data_collator([one])).items()
                    if name != "labels"
                }
            ).logits[0]
            for one in (pack, changed)
        )
    assert torch.equal(logits[:first], other[:first])
    assert torch.equal(logits[first + second :], other[first + second :])
    assert not torch.equal(logits[first : first + second], other[first : first + second])


def test_packed_rows_have_the_loss_that_the_same_rows_have_padded(rig: Callable[..., Any]) -> None:
    """All packs in one step, and all rows in one step: the same tokens, so the same losses and weights."""
    made = rig(training=PACKING)
    trainer, callback = made.build()
    num_packs = len(trainer.train_dataset)
    trainer, callback = made.build(per_device_train_batch_size=num_packs)
    made.train(trainer, callback)
    plain = rig(training=PACKING | {"packing": False, "padding_free": False})
    plain.train(*plain.build(per_device_train_batch_size=20))
    assert [step.loss for step in made.steps()] == pytest.approx([step.loss for step in plain.steps()], rel=1e-5)
    assert [step.num_tokens for step in made.steps()] == [step.num_tokens for step in plain.steps()]
    assert made.steps()[-1].epoch == plain.steps()[-1].epoch == 2


def test_packs_count_in_the_prediction_of_the_largest_batch() -> None:
    numbers = random.Random(1)
    rows = RowLengths.of([(numbers.randint(5, 60), 3) for _ in range(300)])
    packs = rows.packs(64)
    assert packs.num_tokens == rows.num_tokens
    assert rows.num_tokens / 64 <= packs.num_rows < rows.num_rows
    assert packs.batch(2, 64) == ((64, 64), (64, 64))
    assert RowLengths.of([(600, 9)] * 4).packs(1024).batch(2, 1024) == ((600, 600), (600, 600))
    assert RowLengths(((20, 5),), 3, 50).packs(1024).batch(4, 1024) == ((50, 50),), "lengths of old plans are not known"


def test_many_lengths_are_kept_as_few_that_are_no_shorter() -> None:
    rows = RowLengths.of([(length, 1) for length in range(1, 5001)])
    assert len(rows.counts) <= 512
    assert sum(num for _, num in rows.counts) == 5000
    assert rows.counts[-1][0] == 5000
    assert RowLengths.from_json(rows.to_json()) == rows
