"""TRL's activation offloading as it shows on the card: saved tensors leave it, a few stay until they are copied.

Follows trl.models.activation_offloading.OffloadActivations with its defaults and a stream of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from engine.dry_run_types import StepSpec
from engine.training.dry_run.tracking import Tracker

_MIN_BYTES = 1024
_STASH = 5
"""Saved tensors that stay on the card until their copy is surely done."""


@contextmanager
def offloading(model: nn.Module, spec: StepSpec, tracker: Tracker) -> Iterator[None]:
    """Inside, what autograd saves is held off the card; without effect where the spec offloads nothing."""
    if not (spec.activation_offloading and spec.device == "cuda"):
        yield
        return
    kept = {parameter.untyped_storage()._cdata for parameter in (*model.parameters(), *model.buffers())}
    stash: list[torch.Tensor] = []
    away: dict[int, tuple[torch.Size, torch.dtype]] = {}

    def pack(tensor: torch.Tensor) -> Any:
        small = tensor.numel() * tensor.element_size() < _MIN_BYTES
        if small or tensor.untyped_storage()._cdata in kept:
            return tensor
        stash.append(tensor)
        del stash[:-_STASH]
        away[len(away)] = (tensor.size(), tensor.dtype)
        return len(away) - 1

    def unpack(packed: Any) -> torch.Tensor:
        if isinstance(packed, torch.Tensor):
            return packed
        size, dtype = away[packed]
        with tracker.scope("activations"):
            return torch.empty(size, dtype=dtype)

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield
    stash.clear()
