"""What of a checkpoint goes on under a changed plan, decided from the two plans' keys alone.

`continuation` says it in words before an attempt starts. Not here: doing it, which needs torch
(`training.carry_over`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import checkpoints
from engine.checkpoints import Checkpoint
from engine.plan import Plan

REWARMUP_STEPS = 10


@dataclass(frozen=True, slots=True)
class Change:
    """How weights of one key become weights of another. `words`: each change in a few of them."""

    words: tuple[str, ...]
    optimizer_kept: bool


def change(old: Mapping[str, Any], new: Mapping[str, Any]) -> Change | None:
    """What carrying over from one checkpoint key to another takes; None where weights cannot be carried.

    Full weights and an adapter are never made of each other. Keys equal in what counts give a change without words.
    """
    if not new.keys() <= old.keys() or (old["method"] != new["method"] and "full" in (old["method"], new["method"])):
        return None
    words = [] if old["method"] == "full" else [*_adapter_changes(old, new)]
    reshaped = bool(words)
    if old["method"] != new["method"]:
        words.append("adapter kept on a 4-bit base" if new["method"] == "qlora" else "adapter kept on an unpacked base")
    if old["optim"] != new["optim"]:
        words.append(f"optimizer {old['optim']} -> {new['optim']}")
    return Change(tuple(words), optimizer_kept=not reshaped and old["optim"] == new["optim"])


def _adapter_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    words = []
    if old["r"] != new["r"]:
        words.append(f"rank {old['r']} -> {new['r']}")
    if (old["lora_alpha"], old["use_rslora"]) != (new["lora_alpha"], new["use_rslora"]):
        words.append("scaling changed, the weights' product kept")
    if old["use_dora"] and not new["use_dora"]:
        words.append("DoRA's magnitudes dropped")
    if new["use_dora"] and not old["use_dora"]:
        words.append("DoRA's magnitudes initialised")
    if old["target_modules"] != new["target_modules"]:
        told = new["target_modules"]
        words.append(f"adapters kept on {told if isinstance(told, str) else ', '.join(told)}")
    return words


def rewarmup_steps(steps_left: int) -> int:
    """Steps over which a fresh optimizer's learning rate is led up to the schedule's."""
    return max(1, min(REWARMUP_STEPS, steps_left // 10)) if steps_left > 1 else 0


def to_continue(folder: Path, plan: Plan) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint under `folder` that a plan can go on from, as it is or carried over.

    With it, why each newer one was passed over.
    """
    key = plan.checkpoint_key()
    return checkpoints.newest(folder, key, also=lambda made_under: change(made_under, key) is not None)


def continuation(folder: Path, plan: Plan) -> tuple[int, str]:
    """(step, sentence): where the next attempt under `plan` goes on, and with what. Step 0 for the beginning."""
    found, _ = to_continue(folder, plan)
    if found is None:
        if checkpoints.steps(folder):
            return 0, "starts again at step 0: none of the checkpoints can be carried over to this plan"
        return 0, "starts at step 0: no checkpoint yet"
    changed = change(found.key, plan.checkpoint_key())
    assert changed is not None
    if not changed.words:
        return found.step, f"continues from step {found.step}"
    optimizer = "optimizer state kept" if changed.optimizer_kept else "optimizer state begins anew"
    return found.step, f"continues from step {found.step}: {', '.join(changed.words)}; {optimizer}"
