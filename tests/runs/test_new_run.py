"""A run started by `finetui new` is the one that `finetui replay` starts: same recipe, watched the same way."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow(seconds=15)


def test_a_run_started_from_options_has_the_recipe_of_its_replay_and_drops_the_draft(workshop: Any) -> None:
    (workshop.folder / "cut off.jsonl").write_text('{"prompt": "a"\nnot json\n')
    changes = ("--set", "run.name=made", "--set", "data.dataset=cut off.jsonl")
    workshop.home.mkdir(exist_ok=True)
    (workshop.home / "draft.json").write_text('{"version": 1, "base": "demo-cpu", "answers": []}')
    made = workshop.finetui("new", "--preset", "tiny.toml", *changes, "--start")
    # Rows without one that can be used end a run early, with the exit code of its kind.
    assert made.returncode == 3, made.stdout + made.stderr
    assert "failed" in made.stdout
    assert not (workshop.home / "draft.json").exists()
    replayed = workshop.finetui("replay", "tiny.toml", *changes, "--detach")
    assert replayed.returncode == 0, replayed.stderr
    first, second = (workshop.run(name).recipe.read_text().splitlines() for name in ("made-1", "made-2"))
    differing = [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]]
    assert all(pair[0].startswith("title = ") for pair in differing)
