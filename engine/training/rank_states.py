"""The random states of every rank in a checkpoint, which rank 0 writes.

Without a rank's own, a resumed run would draw other dropouts there than an uninterrupted one. Not here: which files a
checkpoint needs (`engine.checkpoints`).
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from engine.checkpoints import random_states_file
from engine.ranks.beats import BEAT_SECONDS, read_beats
from engine.training.random_states import RandomStates
from engine.training.ranks import Ranks

LAST_WORDS_SECONDS = 3 * BEAT_SECONDS
"""How long rank 0 waits for what others keep when one is lost: they notice with their next beat."""


def save_everyone(save: Callable[[str], None], ranks: Ranks, folder: Path) -> None:
    """Every rank's states into `folder`, written by rank 0. `save` puts this rank's own into a folder."""
    with tempfile.TemporaryDirectory(prefix="finetui-") as own:
        save(own)
        mine = (Path(own) / random_states_file(ranks.rank, ranks.size)).read_bytes()
    for rank, states in enumerate(ranks.gather(mine)):
        if ranks.is_first:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / random_states_file(rank, ranks.size)).write_bytes(states)


def keep(states: RandomStates, ranks: Ranks, folder: Path, step: int) -> None:
    """Leave this rank's states of a step for rank 0, which the others may have no way to tell any more."""
    file = _kept(folder, ranks.rank, step)
    if file.exists():
        return
    told = {"python": states.python, "numpy": states.numpy, "cpu": states.cpu}
    if states.cards:
        told["cuda"] = list(states.cards)
    temporary = file.with_suffix(".unfinished")
    torch.save(told, temporary)
    temporary.replace(file)


def collect(ranks: Ranks, folder: Path, step: int, into: Path) -> None:
    """What the other ranks kept of a step, waited for while they live. What they did not keep is not there then."""
    deadline = time.monotonic() + LAST_WORDS_SECONDS
    for rank in range(1, ranks.size):
        file = _kept(folder, rank, step)
        while not file.exists() and time.monotonic() < deadline:
            beat = read_beats(folder).get(rank)
            if beat is not None and beat.process.is_here() and not beat.process.is_alive():
                break
            time.sleep(0.05)
        if file.exists():
            shutil.copyfile(file, into / random_states_file(rank, ranks.size))


def _kept(folder: Path, rank: int, step: int) -> Path:
    return folder / f"random-{rank}-step-{step}.pth"
