"""A recipe whose twelve rows are short but for one, on a model for which that row is a lot: how memory runs out late.

Not here: the fixture `heavy` that writes it down (`conftest`), the caps that it is run under.
"""

from __future__ import annotations

import json
from pathlib import Path

NUM_WORDS = 1300
"""Of the long row: about 3,500 tokens, against 40 of the others. With seed 7 it is trained on in step 3."""
LATE = "training.seed=7"
ONE_BY_ONE = ("ladder.predict=false", "memory.probe=false")
RECIPE = """
title = "one long row"
[model]
name_or_path = "{model}"
[data]
dataset = "rows.jsonl"
eval_fraction = 0
test_fraction = 0
[adapter]
r = 4
target_modules = ["q_proj", "v_proj"]
[training]
max_steps = 6
per_device_train_batch_size = 2
per_device_eval_batch_size = 1
learning_rate = 1e-3
save_steps = 100
save_total_limit = 20
max_length = 4096
gradient_checkpointing = false
[evaluation]
enabled = false
"""


def write_rows(path: Path, count: int, *, long_at: int | None = None) -> None:
    rows = [{"prompt": f"say {n}", "completion": numbers(n, NUM_WORDS if n == long_at else 8)} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def numbers(start: int, count: int) -> str:
    return " ".join(str((start * 7 + k) % 100) for k in range(count))
