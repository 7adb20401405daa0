"""A run whose training is done: a tiny model, an adapter with random weights, test rows to answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from data.conversation import Example, single_turn
from engine.event_log import EventWriter, read_events
from engine.events import Event, VariantScored, WarningRaised
from engine.hardware import read_hardware
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.run_dir import RunDir

SYSTEM = "You translate requests into venvy commands."
COMMANDS = ("venvy ls --sort size", "venvy scan", "venvy stats")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More would only wait for each other on models this small. The random state is put back too."""
    import torch

    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.random.set_rng_state(state)


@dataclass(frozen=True, slots=True)
class Rig:
    """One run folder as training leaves it."""

    run: RunDir
    recipe: Recipe
    plan: Plan

    def writer(self) -> EventWriter:
        return EventWriter(self.run.event_file("evaluate"))

    def events(self) -> list[Event]:
        return [stamped.event for stamped in read_events(self.run.events)]

    def scores(self) -> list[VariantScored]:
        return [event for event in self.events() if isinstance(event, VariantScored)]

    def warnings(self) -> list[str]:
        return [event.text for event in self.events() if isinstance(event, WarningRaised)]

    def answers(self, variant: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.run.answers / f"{variant}.jsonl").read_bytes().splitlines()]


def venvy_rows(num_rows: int, first_line: int = 1) -> list[Example]:
    """Rows that take turns through `COMMANDS`."""
    return [
        single_turn(
            f"please do number {line} " + "now " * (line % 4),
            f"COMMAND: {COMMANDS[line % 3]}\nCONFIDENCE: high",
            line,
            system=SYSTEM,
        )
        for line in range(first_line, first_line + num_rows)
    ]


@pytest.fixture
def rig(tmp_path: Path, tiny_model_folder: Path) -> Callable[..., Rig]:
    """Makes a trained run: all three variants, 12 test rows of which two are unseen, float32 unless told otherwise."""
    from data.many_rows.stored_rows import RowWriter
    from engine.training.rendering import Renderer
    from engine.training.tokenizer_loading import load_tokenizer

    def make(
        *,
        test: list[Example] | None = None,
        rendering: str = "chat",
        autocast: str = "none",
        method: str = "lora",
        use_dora: bool = False,
        **evaluation: Any,
    ) -> Rig:
        settings = {
            "answer_pattern": r"^COMMAND:[ \t]*(.*?)[ \t]*$",
            "group_pattern": r"^COMMAND:[ \t]*venvy[ \t]+(\S+)",
            "baselines": ["zero_shot", "examples"],
            "max_new_tokens": 6,
            "per_device_eval_batch_size": 5,
        }
        values = {
            "model": {"name_or_path": str(tiny_model_folder)},
            "data": {"dataset": "rows.jsonl"},
            "adapter": {"method": method, "r": 4, "use_dora": use_dora},
            "evaluation": settings | evaluation,
        }
        recipe = Recipe.from_values(values)
        run = RunDir.create(tmp_path / "runs", "tiny")
        run.recipe.write_text(recipe.to_toml())
        machine = replace(read_hardware(), gpus=(), gpu_note="tests run on the CPU")
        settled = replace(plan(recipe, machine, None), autocast=autocast, num_threads=1)
        run.plan(1).write_text(json.dumps(settled.to_json()))
        run.model.write_text(json.dumps({"folder": str(tiny_model_folder)}))
        stored = {"train": venvy_rows(9), "test": venvy_rows(12, 101) if test is None else test}
        for name, rows in stored.items():
            with RowWriter(run.dataset / f"{name}.jsonl") as writer:
                for row in rows:
                    writer.write(row.to_json())
        renderer = Renderer(load_tokenizer(tiny_model_folder), rendering, True)
        prepared = {"rendering": rendering, "stop_ids": renderer.stop_ids(), "test": {"unseen": [101, 112]}}
        run.prepared.write_text(json.dumps(prepared))
        save_result(run, tiny_model_folder, recipe.adapter.method, use_dora=use_dora)
        return Rig(run, recipe, settled)

    return make


def save_result(run: RunDir, base: Path, method: str, *, use_dora: bool) -> None:
    """A result that answers otherwise than its base: an adapter whose B is not zero, or a whole other model."""
    import torch
    from peft import LoraConfig, get_peft_model

    from engine.training.model_loading import load_model
    from engine.training.tokenizer_loading import load_tokenizer

    torch.manual_seed(5)
    model: Any = load_model(base, dtype="float32")
    if method == "full":
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    else:
        config = LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False, use_dora=use_dora)
        model = get_peft_model(model, config)
    model.save_pretrained(run.adapter)
    load_tokenizer(base).save_pretrained(run.adapter)
