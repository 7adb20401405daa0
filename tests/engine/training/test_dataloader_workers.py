"""Processes that make batches ahead change nothing but who makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from transformers import TrainerCallback

# peft asks a model of transformers under the old name of a property; it answers as ever.
# And torch finds two workers too many for one core.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes:UserWarning"),
]


class Lines(TrainerCallback):
    """Which rows each step was made of."""

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.seen = trainer, list[tuple[int, ...]]()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seen.append(self.trainer.lines)


def test_two_workers_give_the_same_steps_from_the_same_lines(rig: Callable[..., Any]) -> None:
    steps: list[list[Any]] = []
    for num_workers in (0, 2):
        made = rig(rows=8, eval_rows=0, training={"max_steps": 2, "learning_rate": 1e-3})
        trainer, callback = made.build(dataloader_num_workers=num_workers)
        assert trainer.args.dataloader_num_workers == num_workers
        lines = Lines(trainer)
        trainer.add_callback(lines)
        made.train(trainer, callback)
        steps.append([(seen, step.num_tokens, step.loss) for seen, step in zip(lines.seen, made.steps(), strict=True)])
    alone, helped = steps
    assert len(alone) == 2
    assert [(seen, tokens) for seen, tokens, _ in helped] == [(seen, tokens) for seen, tokens, _ in alone]
    assert [loss for *_, loss in helped] == pytest.approx([loss for *_, loss in alone], rel=1e-6)
