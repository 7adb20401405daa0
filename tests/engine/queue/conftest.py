"""Entries whose runs cannot start, so that a queue is worked through in a moment, and runs that seem to go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.liveness import ProcessIdentity, announce
from engine.queue.entries import Entry, Queue
from engine.queue.worker import RunnerFiles
from engine.recipe import Recipe
from engine.run_dir import RunDir, finetui_home


@pytest.fixture
def queue() -> Iterator[Queue]:
    """The queue of this test's own home; nobody works on it afterwards."""
    queue = Queue.here()
    yield queue
    identity = ProcessIdentity.read(RunnerFiles(queue).identity)
    if identity and identity.is_alive():
        os.kill(identity.pid, signal.SIGKILL)


@pytest.fixture
def hopeless(tmp_path: Path) -> Callable[..., Entry]:
    """Makes entries that cannot be started: their model's folder is gone since they were added."""
    recipe = Recipe.from_values(
        {
            "model": {"name_or_path": str(tmp_path / "gone")},
            "data": {"dataset": str(tmp_path / "rows.jsonl")},
            "evaluation": {"enabled": False},
        }
    )

    def make(name: str = "hopeless", **values: str) -> Entry:
        return Entry(0, name, "mine.toml", recipe.to_toml(), str(tmp_path), 0.0, **values)

    return make


@pytest.fixture
def going() -> RunDir:
    """A run that this process is in charge of."""
    run = RunDir.create(finetui_home() / "runs", "going")
    announce(run)
    return run
