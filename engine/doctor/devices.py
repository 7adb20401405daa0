"""The card, its driver, and whether the installed torch can use them.

What the driver tells is read through NVML (`engine.nvml`), what torch sees in the worker process. ECC and persistence
mode change neither whether nor what is computed, so nobody is asked about them.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.doctor import versions
from engine.doctor.finding import Finding
from engine.gpu import Capability, Gpu
from engine.hardware import Hardware
from engine.host import ROOT, lines_of
from engine.units import format_bytes

MINIMUM_DRIVERS: Mapping[int, tuple[int, ...]] = {11: (450, 80, 2), 12: (525, 60, 13), 13: (580,)}
"""CUDA's major version -> the oldest Linux driver that runs any of its minor versions. NVIDIA, CUDA Toolkit release
notes, table "CUDA Toolkit and Minimum Required Driver Version for CUDA Minor Version Compatibility"."""
UPDATE_DRIVER = "sudo ubuntu-drivers install"
COMMANDS_IN_NOTES = (
    r"sudo reboot",
    r"sudo modprobe nvidia",
    r"sudo nvidia-smi -i \d+ -mig 0",
    r"sudo ubuntu-drivers install",
    r"ls -l /dev/nvidia\*",
    r"nvidia-smi -L",
    r"export CUDA_DEVICE_ORDER=PCI_BUS_ID",
    r"nvidia-smi",
)
"""What `nvml`, `cuda_visible` and `host` name in their notes, the one that mends before the one that shows."""


def devices(
    hardware: Hardware, torch: dict[str, Any] | None, environ: Mapping[str, str] = os.environ
) -> Iterator[Finding]:
    """Cards, driver and torch held against each other; `torch` is the worker's answer, None if it was not asked."""
    yield card(hardware, environ)
    if hardware.gpus and shutil.which("nvidia-smi") is None:
        yield Finding("nvidia-smi", "ok", "not on PATH; not needed, the driver answers through NVML")
    if torch is None or "version" not in torch:
        return
    yield from torch_sees_the_card(hardware, torch)
    yield from driver_suits_torch(hardware.gpus, torch)
    yield from torch_is_built_for(hardware.gpus, torch)
    yield from other_makers(hardware, torch)


def card(hardware: Hardware, environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> Finding:
    """The cards that a run could use, or why there is none."""
    shown = "; ".join(
        f"GPU {gpu.index} {gpu.name}{' (MIG slice)' if gpu.mig == 'slice' else ''}, {format_bytes(gpu.free_bytes)} of "
        f"{format_bytes(gpu.usable_bytes)} free, driver {gpu.driver or 'unknown'}"
        for gpu in hardware.gpus
    )
    if hardware.gpus:
        if not hardware.gpu_note:
            return Finding("GPU", "ok", shown)
        return Finding(
            "GPU", "warn", f"{shown}. {hardware.gpu_note}", "See that this is meant.", mending(hardware.gpu_note)
        )
    note = hardware.gpu_note
    if environ.get("CUDA_VISIBLE_DEVICES") is not None and "hides" in note:
        return Finding(
            "GPU", "fail", note, "Unset it, unless runs are meant to use the CPU.", "unset CUDA_VISIBLE_DEVICES"
        )
    if is_wsl(root) and "No NVIDIA card" in note:
        found = "no NVIDIA card in WSL: /usr/lib/wsl/lib/libnvidia-ml.so.1 does not answer"
        remedy = "The driver is installed in Windows, none inside WSL; then renew WSL, in a Windows shell."
        return Finding("GPU", "warn", found, remedy, "wsl.exe --update")
    if "present" in note and is_container(root):
        remedy = "The container was started without the card. On the host, see whether it can be handed in:"
        return Finding("GPU", "fail", note, remedy, "docker run --rm --gpus all ubuntu nvidia-smi")
    if "No NVIDIA card" in note:
        return Finding("GPU", "warn", note, "None is needed for the demo.", "finetui replay demo-cpu")
    return Finding("GPU", "fail", note, "Mend the driver.", mending(note))


def mending(note: str) -> str:
    """The command that a note of the driver's readers names."""
    if "nvidia-ml-py is missing" in note:
        return versions.install("nvidia-ml-py")
    if "CUDA_VISIBLE_DEVICES" in note:
        return "export CUDA_DEVICE_ORDER=PCI_BUS_ID" if "CUDA_DEVICE_ORDER" in note else "unset CUDA_VISIBLE_DEVICES"
    return next((match[0] for pattern in COMMANDS_IN_NOTES if (match := re.search(pattern, note))), "nvidia-smi")


def is_wsl(root: Path = ROOT) -> bool:
    """Whether this is Linux inside Windows."""
    return any("microsoft" in line.lower() for line in lines_of(root / "proc/version"))


def is_container(root: Path = ROOT) -> bool:
    """Whether Docker, Podman or Kubernetes started this process."""
    return any((root / name).exists() for name in (".dockerenv", "run/.containerenv", "run/secrets/kubernetes.io"))


def torch_sees_the_card(hardware: Hardware, torch: dict[str, Any]) -> Iterator[Finding]:
    """A card that the driver shows and torch does not is the commonest way to train on the CPU unawares."""
    build = f"CUDA {torch['cuda_build']}" if torch["cuda_build"] else "the CPU"
    if torch.get("hip_build"):
        build = f"ROCm {torch['hip_build']}"
    if not hardware.gpus:
        yield Finding("torch and GPU", "ok", f"torch {torch['version']}, built for {build}")
    elif torch["cuda"]:
        names = ", ".join(str(each["name"]) for each in torch.get("cards", ()))
        yield Finding("torch and GPU", "ok", f"torch {torch['version']}, built for {build}, uses {names}")
    elif torch["cuda_build"] is None:
        found = f"torch {torch['version']} is built for {build}, so it cannot use {hardware.gpus[0].name}"
        yield Finding("torch and GPU", "fail", found, "Install the CUDA build.", cuda_torch())
    else:
        driver = hardware.gpus[0].driver
        said = f": {torch['error']}" if torch.get("error") else ""
        found = f"torch is built for CUDA {torch['cuda_build']} but cannot use the card with driver {driver}{said}"
        remedy = "Update the driver and reboot; then look at: nvidia-smi"
        yield Finding("torch and GPU", "fail", found, remedy, UPDATE_DRIVER)


def cuda_torch() -> str:
    """The command that puts the package index's own build, which is for CUDA, in place of a CPU build."""
    from engine.doctor.finding import command

    index = ("--index-url", "https://pypi.org/simple")
    return command(*versions.installer(), "--force-reinstall", *index, versions.pinned("torch"))


def driver_suits_torch(gpus: Sequence[Gpu], torch: dict[str, Any]) -> Iterator[Finding]:
    """The driver's version against the oldest that torch's CUDA runs on."""
    if not gpus or not torch["cuda_build"]:
        return
    major = int(str(torch["cuda_build"]).partition(".")[0])
    minimum = MINIMUM_DRIVERS.get(major)
    driver = tuple(int(part) for part in re.findall(r"\d+", gpus[0].driver))
    if minimum is None or not driver:
        return
    wanted = ".".join(f"{part:02}" if number else str(part) for number, part in enumerate(minimum))
    told = f"{gpus[0].driver}; CUDA {torch['cuda_build']} needs {wanted} or newer"
    if driver >= minimum:
        yield Finding("driver", "ok", told)
    else:
        yield Finding("driver", "fail", told, "Update the driver and reboot.", UPDATE_DRIVER)


def torch_is_built_for(gpus: Sequence[Gpu], torch: dict[str, Any]) -> Iterator[Finding]:
    """Whether torch holds code for each card's compute capability."""
    built = [str(arch) for arch in torch.get("arch_list", ())]
    if not built or torch.get("hip_build"):
        return
    for gpu in gpus:
        if gpu.compute_capability is None:
            continue
        shown = (
            f"{gpu.name} has {gpu.compute_capability[0]}.{gpu.compute_capability[1]}; torch holds {', '.join(built)}"
        )
        how = code_for(gpu.compute_capability, built)
        if how == "none":
            newest = max((capability_of(arch) for arch in built), default=(0, 0))
            is_newer = gpu.compute_capability > newest
            remedy = (
                "Install a newer torch build." if is_newer else "This torch no longer supports the card: use the CPU."
            )
            mend = cuda_torch() if is_newer else "export CUDA_VISIBLE_DEVICES="
            yield Finding("compute capability", "fail", shown, remedy, mend)
        elif how == "compiled on start":
            remedy = "The driver compiles kernels on first use, which takes minutes once."
            yield Finding("compute capability", "warn", shown, remedy)
        else:
            yield Finding("compute capability", "ok", shown)


def code_for(capability: Capability, built: Sequence[str]) -> str:
    """ "compiled" (code of the same major version and no newer minor one), "compiled on start" (PTX of any older one)
    or "none": the rules of NVIDIA's "CUDA C++ Programming Guide", chapter Compute Capabilities. Code for sm_90a and
    the like runs on exactly that capability."""
    for arch in built:
        kind, exact = arch.partition("_")[0], arch[-1:] == "a"
        has = capability_of(arch)
        if kind == "sm" and has[0] == capability[0] and (has == capability if exact else has <= capability):
            return "compiled"
    if any(arch.startswith("compute_") and capability_of(arch) <= capability for arch in built):
        return "compiled on start"
    return "none"


def capability_of(arch: str) -> Capability:
    """(9, 0) of "sm_90a", (12, 0) of "compute_120"; (0, 0) of what is none."""
    match = re.fullmatch(r"(?:sm|compute)_(\d+)(\d)[af]?", arch)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def other_makers(hardware: Hardware, torch: dict[str, Any]) -> Iterator[Finding]:
    """What torch could use that finetui does not train on."""
    if hardware.gpus:
        return
    if torch.get("hip_build"):
        found = f"torch is built for AMD's ROCm {torch['hip_build']}; finetui does not train on AMD cards yet"
        yield Finding("other accelerator", "warn", found, "Runs use the CPU.")
    elif torch.get("mps"):
        found = "torch sees an Apple GPU; finetui does not train on those yet"
        yield Finding("other accelerator", "warn", found, "Runs use the CPU.")
