"""Contradictions in what a recipe says about its ladder: rungs that no run of it could ever take.

Not here: the rungs themselves (`ladder`), which know plans and not recipes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from engine.recipe_sections import AdapterSection, DataSection, LadderSection, TrainingSection

ADAPTER_RUNGS = ("halve_rank", "disable_dora", "only_q_and_v")
Q_AND_V = frozenset({"q_proj", "v_proj"})


def ladder_faults(
    limits: LadderSection, adapter: AdapterSection, training: TrainingSection, data: DataSection
) -> Iterator[tuple[str, str, str]]:
    """(field of the section, what is wrong, what to do) for every contradiction."""
    named = list(dict.fromkeys(limits.costly))
    if len(named) < len(limits.costly):
        twice = ", ".join(name for name in named if limits.costly.count(name) > 1)
        yield "costly", f"names {twice} twice.", "Once is enough: halving rungs are repeated by themselves."
    if named and not limits.enabled:
        yield (
            "costly",
            f"allows {', '.join(named)}, but the ladder is off.",
            "Set ladder.enabled = true, or ladder.costly = [].",
        )
    reasons = {name: never_applies(name, limits, adapter, training, data) for name in named}
    usable = json.dumps([name for name, reason in reasons.items() if not reason])
    for name, reason in reasons.items():
        if reason:
            remedy = f"Change that, or leave the rung out: ladder.costly = {usable}."
            yield "costly", f"{name} can never be taken: {reason}.", remedy


def never_applies(
    name: str, limits: LadderSection, adapter: AdapterSection, training: TrainingSection, data: DataSection
) -> str:
    """Why no run of this recipe can take that costly rung; empty where one can."""
    if name in ADAPTER_RUNGS and adapter.method == "full":
        return 'adapter.method is "full", which trains no adapter'
    if name == "disable_dora" and not adapter.use_dora:
        return "adapter.use_dora is off already"
    if name == "halve_rank" and adapter.r // 2 < limits.min_rank:
        return f"half of adapter.r = {adapter.r} is below ladder.min_rank = {limits.min_rank}"
    if name == "halve_max_length" and training.max_length // 2 < limits.min_max_length:
        limit = f"ladder.min_max_length = {limits.min_max_length}"
        return f"half of training.max_length = {training.max_length} is below {limit}"
    if name == "halve_max_length" and data.on_overflow == "refuse":
        return 'data.on_overflow is "refuse", so no row may be cut'
    if name == "only_q_and_v" and isinstance(adapter.target_modules, list):
        targets = set(adapter.target_modules)
        if targets <= Q_AND_V:
            return "adapter.target_modules names nothing else"
        if not targets & Q_AND_V:
            return "adapter.target_modules names neither q_proj nor v_proj"
    return ""
