"""The cap of a CPU process: what is planned and no more, with a reserve that only saving gets."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from engine.training.capping import RESERVE_BYTES

TAKE_ALL = """
import json, sys
from engine.plan import Plan
from engine.training.capping import settle
import torch
plan = Plan.from_json(json.loads(sys.argv[1]))
reserve = settle(plan)
step, held = 2**20, []
def take():
    try:
        while True:
            held.append(torch.empty(step, dtype=torch.uint8))
    except RuntimeError:
        return len(held) * step
first = take()
reserve.give_up()
print(first, take() - first)
"""


def test_training_gets_what_is_planned_and_saving_the_reserve_on_top(rig: Callable[..., Any]) -> None:
    plan = replace(rig().plan, capacity_bytes=200 * 2**20, enforce_limit=True)
    command = [sys.executable, "-P", "-c", TAKE_ALL, json.dumps(plan.to_json())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    taken, more = (int(word) for word in done.stdout.split())
    assert 0.95 * plan.capacity_bytes <= taken <= plan.capacity_bytes
    assert 0.9 * RESERVE_BYTES <= more <= 1.05 * RESERVE_BYTES
