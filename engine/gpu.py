"""One NVIDIA card as a value, and what its compute capability lets it do.

Lives here: `Gpu` and the abilities derived from it. How a card is read is `nvml`; which cards a process may
use is `cuda_visible`; cards that are not here are `cards`. No torch: a T4 answers True to torch's
`is_bf16_supported()` because torch emulates it, so abilities are decided by compute capability.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

Capability = tuple[int, int]

BF16_FROM: Capability = (8, 0)
"""First generation with bf16 tensor cores: Ampere."""
FOUR_BIT_FROM: Capability = (6, 0)
"""bitsandbytes: "NF4/FP4 quantization 6.0+, Pascal or newer"."""
FLASH_ATTENTION_FROM: Capability = (8, 0)
"""FlashAttention 2: Ampere, Ada, Hopper and newer. FlashAttention 3 and 4 are not asked for here."""


@dataclass(frozen=True, slots=True)
class Ability:
    """Whether a device can do something, and the sentence that says why."""

    available: bool
    reason: str


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds memory on a card. `used_bytes` is None where the driver does not tell;
    `name` is None where the process belongs to another container or user."""

    pid: int
    used_bytes: int | None
    name: str | None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card, or one MIG slice of a card, at one moment.

    `index` is NVML's (PCI bus order), which is not always CUDA's: select a card by `uuid`.
    `total_bytes` is what `nvidia-smi` shows; `reserved_bytes` of it belong to the driver for good (None:
    not told). `mig` is "off", "slice" (this is a slice with memory of its own) or "unknown".
    `problems` names what the driver would not tell.
    """

    index: int
    name: str
    uuid: str
    total_bytes: int
    free_bytes: int
    used_bytes: int
    compute_capability: Capability | None
    driver: str
    temperature_celsius: int | None
    utilisation_percent: int | None
    processes: tuple[GpuProcess, ...]
    mig: str
    problems: tuple[str, ...]
    reserved_bytes: int | None = None
    emulated: bool = False

    @property
    def usable_bytes(self) -> int:
        """What programs could use on this card if it were idle."""
        return self.total_bytes - (self.reserved_bytes or 0)

    @property
    def bf16(self) -> Ability:
        """Native bf16 arithmetic."""
        return self._from(BF16_FROM, "bf16 arithmetic", "PyTorch would only emulate it, slowly: use fp16")

    @property
    def four_bit(self) -> Ability:
        """4-bit base weights through bitsandbytes."""
        return self._from(FOUR_BIT_FROM, "4-bit weights (bitsandbytes)", "load the base model in fp16 instead")

    @property
    def flash_attention(self) -> Ability:
        """FlashAttention 2, as far as the card goes."""
        return self._from(FLASH_ATTENTION_FROM, "FlashAttention 2", "use PyTorch's own attention (sdpa)")

    def _from(self, needed: Capability, what: str, otherwise: str) -> Ability:
        need = f"{what} needs compute capability {needed[0]}.{needed[1]} or newer"
        if self.compute_capability is None:
            return Ability(False, f"{need}, and the driver does not tell this card's: {otherwise}.")
        major, minor = self.compute_capability
        if self.compute_capability >= needed:
            return Ability(True, f"{need}; {self.name} has {major}.{minor}.")
        return Ability(False, f"{need}; {self.name} has {major}.{minor}: {otherwise}.")

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Gpu:
        """The card that `dataclasses.asdict` took apart. Unknown keys, of a newer version, are ignored."""
        known = {field.name for field in dataclasses.fields(cls)}
        values = {key: value for key, value in stored.items() if key in known}
        capability = values["compute_capability"]
        return cls(
            **values
            | {
                "compute_capability": None if capability is None else (int(capability[0]), int(capability[1])),
                "processes": tuple(GpuProcess(**process) for process in values["processes"]),
                "problems": tuple(values["problems"]),
            }
        )
