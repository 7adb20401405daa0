"""The kinds of device whose best settings differ. Not here: the settings (`picks`)."""

from __future__ import annotations

from typing import Literal

from engine.gpu import Capability
from engine.hardware import Hardware

HardwareClass = Literal["cpu", "apple", "older", "turing", "ampere", "ada", "hopper", "blackwell"]

GENERATIONS: tuple[tuple[Capability, HardwareClass], ...] = (
    ((10, 0), "blackwell"),
    ((9, 0), "hopper"),
    ((8, 9), "ada"),
    ((8, 0), "ampere"),
    ((7, 5), "turing"),
    ((0, 0), "older"),
)
"""(from this compute capability on, its generation): NVIDIA's table of compute capabilities."""


def hardware_class(hardware: Hardware) -> HardwareClass:
    """The class of the device that a run would use. A card that does not tell its generation counts as older.

    A Mac of class apple trains on its processor: what a step on PyTorch's mps device takes was never measured.
    """
    gpu = hardware.best_gpu
    if gpu is None:
        return "apple" if is_apple_silicon(hardware) else "cpu"
    capability = gpu.compute_capability or (0, 0)
    return next(name for start, name in GENERATIONS if capability >= start)


def is_apple_silicon(hardware: Hardware) -> bool:
    """Whether this is a Mac with a processor of Apple's, whose GPU shares the RAM."""
    return hardware.platform.startswith(("macOS", "Darwin")) and "arm64" in hardware.platform
