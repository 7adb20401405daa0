"""The machine as a value: what a plan is made for.

Lives here: `Hardware`, how it is read (`read_hardware`), and how another card is put in its place
(`emulate`). Each part is read by a module of its own: `nvml` the cards, `cuda_visible` which of them count,
`host` processor, RAM and disk. Neither torch nor pydantic: `finetui status` and the supervisor load this.
"""

from __future__ import annotations

import dataclasses
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine import cards, host
from engine.cuda_visible import visible_gpus
from engine.gpu import Ability, Capability, Gpu, GpuProcess
from engine.library_versions import optional_libraries
from engine.units import format_bytes

ASSUMED_CAPABILITY: Capability = (8, 6)
"""Of a card known by its memory alone, on a machine without one: Ampere, as sold since 2020."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """One machine at one moment.

    `gpus` are the NVIDIA cards (or MIG slices) that a CUDA program started from here sees, CUDA_VISIBLE_DEVICES
    applied; `gpu_note` says why there is none, or what is odd about them. RAM and cores are what this process
    may use, not what is built in; `ram_limit_note` names the limit. `disk_free_bytes` is that of `disk_path`.
    `libraries` are the optional ones that are installed (`library_versions`), which a plan may use.
    """

    gpus: tuple[Gpu, ...]
    gpu_note: str
    cpu_name: str
    num_cores: int
    cpu_flags: tuple[str, ...]
    ram_total_bytes: int
    ram_available_bytes: int
    ram_limit_note: str
    disk_path: str
    disk_free_bytes: int
    platform: str
    python_version: str
    libraries: tuple[str, ...] = ()

    @property
    def best_gpu(self) -> Gpu | None:
        """The visible card with the most free memory; the first of equals."""
        return max(self.gpus, key=lambda gpu: gpu.free_bytes, default=None)

    @property
    def device_kind(self) -> Literal["cuda", "cpu"]:
        return "cuda" if self.gpus else "cpu"

    @property
    def bf16(self) -> Ability:
        """bf16 on the device a run would use."""
        gpu = self.best_gpu
        if gpu is not None:
            return gpu.bf16
        fast = [flag for flag in ("amx_bf16", "avx512_bf16", "bf16") if flag in self.cpu_flags]
        if fast:
            return Ability(True, f"{self.cpu_name} computes bf16 itself ({fast[0]}).")
        return Ability(
            True, f"PyTorch computes bf16 on any processor; {self.cpu_name} has no instructions to speed it up."
        )

    @property
    def four_bit(self) -> Ability:
        """4-bit base weights on the device a run would use."""
        gpu = self.best_gpu
        if gpu is not None:
            return gpu.four_bit
        if self.cpu_flags and not {"avx2", "bf16", "sve"} & set(self.cpu_flags):
            return Ability(False, f"bitsandbytes needs AVX2 on a processor, which {self.cpu_name} lacks.")
        return Ability(True, "bitsandbytes computes 4-bit weights on the processor; slower than on a card.")

    @property
    def flash_attention(self) -> Ability:
        """FlashAttention 2 on the device a run would use."""
        gpu = self.best_gpu
        if gpu is not None:
            return gpu.flash_attention
        return Ability(False, "FlashAttention 2 needs an NVIDIA card; PyTorch's own attention (sdpa) runs anywhere.")

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; `from_json` reads it back equal."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Hardware:
        """What `to_json` gave, also after a trip through JSON text. Unknown keys are ignored."""
        known = {field.name for field in dataclasses.fields(cls)}
        values = {key: value for key, value in stored.items() if key in known}
        gpus = tuple(Gpu.from_json(gpu) for gpu in values["gpus"])
        tuples = {name: tuple(values.get(name, ())) for name in ("cpu_flags", "libraries")}
        return cls(**values | {"gpus": gpus} | tuples)


def read_hardware(path_for_disk: Path | None = None) -> Hardware:
    """This machine, now. `path_for_disk` (default: the working directory) need not exist yet. Never raises
    for what the machine lacks."""
    from engine import nvml

    found, driver_note = nvml.read_gpus()
    gpus, visible_note = visible_gpus(found, os.environ)
    note = " ".join(part for part in (driver_note, visible_note) if part)
    disk_path = (path_for_disk or Path.cwd()).absolute()
    ram = host.read_ram()
    return Hardware(
        gpus=gpus,
        gpu_note=note if note or gpus else host.other_accelerator(),
        cpu_name=host.cpu_name(),
        num_cores=host.count_cores(),
        cpu_flags=host.cpu_flags(),
        ram_total_bytes=ram.total_bytes,
        ram_available_bytes=ram.available_bytes,
        ram_limit_note=ram.limit_note,
        disk_path=str(disk_path),
        disk_free_bytes=host.disk_free_bytes(disk_path),
        platform=platform.platform(),
        python_version=platform.python_version(),
        libraries=optional_libraries(),
    )


def emulate(hardware: Hardware, card: str) -> Hardware:
    """The same machine with one idle card of the kind named ("t4") or of the memory given ("6GiB").

    Index, UUID and driver stay those of the real best card, if there is one: a rehearsal runs on it, capped.
    A card given by size has the real card's compute capability, else `ASSUMED_CAPABILITY`.

    Raises:
        RecipeError: `card` is neither.
    """
    wanted = cards.find_card(card)
    real = hardware.best_gpu
    problems: tuple[str, ...] = ()
    if isinstance(wanted, cards.Card):
        name, total, reserved = wanted.name, wanted.total_bytes, wanted.reserved_bytes
        capability = wanted.compute_capability
    else:
        name, total, reserved = f"{format_bytes(wanted)} card", wanted, 0
        capability, problems = _assumed_capability(real)
    gpu = Gpu(
        index=real.index if real else 0,
        name=f"{name} (emulated)",
        uuid=real.uuid if real else "",
        total_bytes=total,
        free_bytes=total - reserved,
        used_bytes=0,
        reserved_bytes=reserved,
        compute_capability=capability,
        driver=real.driver if real else "",
        temperature_celsius=None,
        utilisation_percent=None,
        processes=(),
        mig="off",
        problems=problems,
        emulated=True,
    )
    here = real.name if real else "no NVIDIA card"
    return dataclasses.replace(hardware, gpus=(gpu,), gpu_note=f"Planned for {name}; here is {here}.")


def _assumed_capability(real: Gpu | None) -> tuple[Capability, tuple[str, ...]]:
    if real is not None and real.compute_capability is not None:
        return real.compute_capability, (f"compute capability taken from {real.name}",)
    major, minor = ASSUMED_CAPABILITY
    return ASSUMED_CAPABILITY, (f"compute capability {major}.{minor} is assumed; name a card to be exact",)


__all__ = ["Ability", "Gpu", "GpuProcess", "Hardware", "emulate", "read_hardware"]
