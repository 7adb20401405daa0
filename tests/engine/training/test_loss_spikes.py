"""A step whose loss stands out is told with the lines of its rows, whatever batches they were made into."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.events import LossSpiked
from engine.training.dataset_files import write_split
from engine.training.rendering import IGNORED, Rendered

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
POISON = 47
TRAINING = {"max_steps": 24, "learning_rate": 3e-2, "save_steps": 6, "per_device_train_batch_size": 4}


def poisoned(made: Any) -> None:
    """Rows at lines 11 to 106 that say the same, one that says the opposite."""
    folder = Path(json.loads(made.run.model.read_text())["folder"])
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    rows = []
    for line in range(11, 107):
        answer = [vocabulary - 1 - n for n in range(40)] if line == POISON else [20, 21, 22]
        ids = [5, 6, 7, *answer]
        rows.append(Rendered(line, ids, [IGNORED] * 3 + answer, True))
    write_split(made.run.dataset, "train", rows)


def spikes(made: Any) -> list[LossSpiked]:
    return [event for event in made.events() if isinstance(event, LossSpiked)]


@pytest.mark.parametrize(("padding_free", "size", "accumulated"), [(True, 4, 1), (False, 2, 2)])
def test_the_step_of_a_poisonous_row_names_its_line(
    rig: Callable[..., Any], padding_free: bool, size: int, accumulated: int
) -> None:
    made = rig(training={**TRAINING, "padding_free": padding_free})
    poisoned(made)
    trainer, callback = made.build(per_device_train_batch_size=size, gradient_accumulation_steps=accumulated)
    made.train(trainer, callback)
    [spike] = spikes(made)
    assert POISON in spike.rows
    assert len(spike.rows) == 4
    assert all(11 <= line < 107 for line in spike.rows)
    assert spike.loss > 3 * spike.usual


def test_a_resumed_run_finds_the_same_spike_in_the_same_rows(rig: Callable[..., Any]) -> None:
    """What is usual comes from the checkpoint: the spike is three steps behind it."""
    made = rig(training={**TRAINING, "save_steps": 3, "save_total_limit": 9})
    poisoned(made)
    made.train(*made.build())
    [straight] = spikes(made)
    last = (straight.step - 1) // 3 * 3
    for folder in made.run.checkpoints.glob("checkpoint-*"):
        if int(folder.name.rpartition("-")[2]) > last:
            shutil.rmtree(folder)
    made.train(*made.build())
    assert 0 < last < straight.step
    assert spikes(made) == [straight, straight]
