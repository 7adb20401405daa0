"""The states of all random numbers that training draws from, taken and put back.

Not here: seeding (transformers does it from the recipe's seed) and checkpoints' own copy.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class RandomStates:
    """Python's, numpy's, torch's and the cards' generators at one moment. Some ten kilobytes."""

    python: Any
    numpy: Any
    cpu: torch.Tensor
    cards: tuple[torch.Tensor, ...]

    @staticmethod
    def now() -> RandomStates:
        cards = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return RandomStates(random.getstate(), np.random.get_state(), torch.random.get_rng_state(), tuple(cards))

    def restore(self) -> None:
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.random.set_rng_state(self.cpu)
        if self.cards:
            torch.cuda.set_rng_state_all(list(self.cards))
