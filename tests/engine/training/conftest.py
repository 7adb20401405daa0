"""A real attempt on a tiny model, in this process: `rig` builds it as the attempt's own process does."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from engine import checkpoints
from engine.event_log import EventWriter, read_events
from engine.events import Event, StepLogged
from engine.hardware import Hardware, read_hardware
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.run_dir import RunDir
from engine.training.attempt import StopFlag, take_up, train
from engine.training.building import build
from engine.training.callbacks import RunCallback
from engine.training.dataset_files import write_split
from engine.training.rendering import IGNORED, Rendered
from engine.training.trainer import RunTrainer


@dataclass(frozen=True, slots=True)
class Rig:
    """One run folder with its tokenized rows; every `build` is one more attempt of that run."""

    run: RunDir
    recipe: Recipe
    plan: Plan
    stop: StopFlag

    def build(self, *, writer: EventWriter | None = None, **changes: Any) -> tuple[RunTrainer, RunCallback]:
        """Model, rows, trainer and callback of the next attempt; `changes` go into its plan."""
        changed = replace(self.plan, **changes)
        number = self.run.next_attempt()
        self.run.plan(number).write_text(json.dumps(changed.to_json()))
        writer = writer or EventWriter(self.run.event_file(f"attempt-{number}"))
        return build(self.run, self.recipe, changed, writer, lambda: self.stop.raised)

    def train(self, trainer: RunTrainer, callback: RunCallback) -> RunTrainer:
        """Continue from the newest checkpoint, if there is one, to the end or a stop."""
        newest, passed_over = checkpoints.newest(self.run.checkpoints, trainer.key)
        assert passed_over == []
        newest = take_up(newest, trainer, callback.writer)
        train(trainer, callback, newest, self.plan, callback.writer)
        return trainer

    def events(self) -> list[Event]:
        return [stamped.event for stamped in read_events(self.run.events)]

    def steps(self) -> list[StepLogged]:
        return [event for event in self.events() if isinstance(event, StepLogged)]


def random_rows(num_rows: int, vocabulary: int, seed: int, *, prompt: bool = True) -> list[Rendered]:
    """Rows of 6 to 30 tokens; the first third is the prompt, unless there is none."""
    numbers = random.Random(seed)
    rows = []
    for line in range(1, num_rows + 1):
        ids = [numbers.randrange(vocabulary) for _ in range(numbers.randint(6, 30))]
        cut = len(ids) // 3 if prompt else 0
        rows.append(Rendered(line, ids, [IGNORED] * cut + ids[cut:], True))
    return rows


@pytest.fixture(scope="session")
def machine() -> Hardware:
    """This machine without its cards."""
    return replace(read_hardware(), gpus=(), gpu_note="tests run on the CPU")


@pytest.fixture
def rig(tmp_path: Path, tiny_model_of: Callable[[str], Path], machine: Hardware) -> Iterator[Callable[..., Rig]]:
    """Makes a run of a tiny model: float32, LoRA on all layers, 20 training rows and 7 eval rows by default."""
    import torch

    state, threads = (torch.random.get_rng_state(), random.getstate()), torch.get_num_threads()
    torch.set_num_threads(1)  # as the plan says; more would only wait for each other here

    def make(
        family: str = "llama",
        *,
        rows: int = 20,
        eval_rows: int = 7,
        prompt: bool = True,
        autocast: str = "none",
        folder: Path | None = None,
        **sections: dict[str, Any],
    ) -> Rig:
        folder = folder or tiny_model_of(family)
        values: dict[str, Any] = {
            "model": {"name_or_path": str(folder)},
            "data": {"dataset": "rows.jsonl"},
            "adapter": {"r": 4, "lora_alpha": 8, **sections.pop("adapter", {})},
            "training": {"learning_rate": 1e-2, "gradient_checkpointing": False, **sections.pop("training", {})},
        }
        recipe = Recipe.from_values(values | sections)
        run = RunDir.create(tmp_path / "runs", family)
        run.recipe.write_text(recipe.to_toml())
        run.model.write_text(json.dumps({"name": str(folder), "kind": "folder", "folder": str(folder)}))
        vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
        write_split(run.dataset, "train", random_rows(rows, vocabulary, 1, prompt=prompt))
        write_split(run.dataset, "eval", random_rows(eval_rows, vocabulary, 2, prompt=prompt))
        settled = replace(plan(recipe, machine, None), autocast=autocast, num_threads=1)
        return Rig(run, recipe, settled, StopFlag())

    yield make
    torch.set_num_threads(threads)
    torch.random.set_rng_state(state[0])
    random.setstate(state[1])
