"""Cards that are not here, so that a run can be planned or rehearsed for them.

Lives here: one list of well-known cards; a new card is one line. Read by `hardware.emulate`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from engine.errors import RecipeError
from engine.gpu import Capability
from engine.units import MIB, parse_bytes


@dataclass(frozen=True, slots=True)
class Card:
    """A card as sold. `total_mib` is what `nvidia-smi` shows; `usable_mib` what programs get, where measured.

    `peak_tflops`: dense 16-bit products summed in fp32, 10^12 operations a second, rounded, from NVIDIA's data sheets
    and architecture white papers (A10G: AWS). GeForce cards do that at half the rate their boxes advertise.
    """

    key: str
    name: str
    total_mib: int
    compute_capability: Capability
    peak_tflops: float
    usable_mib: int | None = None

    @property
    def total_bytes(self) -> int:
        return self.total_mib * MIB

    @property
    def reserved_bytes(self) -> int:
        """The driver's share. Unmeasured cards are given 3 % and at least 256 MiB, which is a little more than
        the totals in PyTorch's out-of-memory messages leave for it (23.6 GiB of a 4090, 79.1 GiB of an H100)."""
        if self.usable_mib is not None:
            return (self.total_mib - self.usable_mib) * MIB
        return max(self.total_mib * 3 // 100, 256) * MIB


CARDS = (
    Card("p100", "Tesla P100-PCIE-16GB", 16_384, (6, 0), 21),
    Card("v100-16gb", "Tesla V100-SXM2-16GB", 16_384, (7, 0), 125),
    Card("v100-32gb", "Tesla V100-SXM2-32GB", 32_768, (7, 0), 125),
    Card("t4", "Tesla T4", 15_360, (7, 5), 65, usable_mib=14_912),  # measured on Kaggle, ECC on
    Card("rtx2080ti", "NVIDIA GeForce RTX 2080 Ti", 11_264, (7, 5), 54),
    Card("rtx3050-6gb", "NVIDIA GeForce RTX 3050 6GB", 6_144, (8, 6), 14),
    Card("rtx3060-12gb", "NVIDIA GeForce RTX 3060", 12_288, (8, 6), 25),
    Card("rtx3080-10gb", "NVIDIA GeForce RTX 3080", 10_240, (8, 6), 60),
    Card("rtx3090", "NVIDIA GeForce RTX 3090", 24_576, (8, 6), 71),
    Card("rtx4060-8gb", "NVIDIA GeForce RTX 4060", 8_188, (8, 9), 30),
    Card("rtx4060ti-16gb", "NVIDIA GeForce RTX 4060 Ti", 16_380, (8, 9), 44),
    Card("rtx4070", "NVIDIA GeForce RTX 4070", 12_282, (8, 9), 58),
    Card("rtx4080", "NVIDIA GeForce RTX 4080", 16_376, (8, 9), 97),
    Card("rtx4090", "NVIDIA GeForce RTX 4090", 24_564, (8, 9), 165),
    Card("rtx5090", "NVIDIA GeForce RTX 5090", 32_607, (12, 0), 210),
    Card("l4", "NVIDIA L4", 23_034, (8, 9), 121),
    Card("a10g", "NVIDIA A10G", 23_028, (8, 6), 70),
    Card("l40s", "NVIDIA L40S", 46_068, (8, 9), 362),
    Card("a100-40gb", "NVIDIA A100-SXM4-40GB", 40_960, (8, 0), 312),
    Card("a100-80gb", "NVIDIA A100-SXM4-80GB", 81_920, (8, 0), 312),
    Card("h100-80gb", "NVIDIA H100 80GB HBM3", 81_559, (9, 0), 989),
    Card("h200", "NVIDIA H200", 143_771, (9, 0), 989),
)


def find_card(wanted: str) -> Card | int:
    """The card named, or the bytes written ("6GiB"). Case, blanks, "NVIDIA", "GeForce" and "Tesla" do not matter.

    Raises:
        RecipeError: neither a size, nor a known card, nor the clear beginning of one.
    """
    key = _plain(wanted)
    # A bare number is more likely a size without its unit than a byte count, and never a card.
    if key and not key.isdigit():
        named = [card for card in CARDS if key in (_plain(card.key), _plain(card.name))] or _beginning_with(key)
        if len(named) == 1:
            return named[0]
        if named:
            raise RecipeError(
                f"{wanted!r} could be {' or '.join(card.key for card in named)}.",
                remedy=f"Name one of them, for example --vram {named[0].key}",
            )
        try:
            size = parse_bytes(wanted)
        except ValueError:
            size = 0
        if size > 0:
            return size
    near = difflib.get_close_matches(key, {_plain(card.key): card.key for card in CARDS}, n=1)
    meant = next((f" Did you mean {card.key}?" for card in CARDS if near and _plain(card.key) == near[0]), "")
    raise RecipeError(
        f"{wanted!r} is neither a memory size nor a card known here.{meant}",
        means="Without it there is no card to plan for.",
        remedy=f"Write a size with its unit, for example 6GiB, or one of: {', '.join(card.key for card in CARDS)}.",
    )


def card_named(name: str) -> Card | None:
    """The card that a driver calls `name`, emulated or not; None for one that is not listed."""
    plain = _plain(name.removesuffix(" (emulated)"))
    return next((card for card in CARDS if _plain(card.name) == plain), None)


def _beginning_with(key: str) -> list[Card]:
    return [card for card in CARDS if _plain(card.key).startswith(key)]


def _plain(name: str) -> str:
    return re.sub(r"nvidia|geforce|tesla|[\s_-]", "", name.lower())
