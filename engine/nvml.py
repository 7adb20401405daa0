"""Reads the NVIDIA cards through NVML, by the vendor's own binding (`pynvml` of nvidia-ml-py).

Lives here: every call into NVML, for all cards once (`read_gpus`) and for one again and again (`OpenCard`). A question
that a card does not answer becomes None and an entry in `Gpu.problems`; a driver that does not answer at all becomes a
note. Nothing here raises for what the machine is or lacks.

With MIG on, CUDA programs cannot use the card as a whole but only its slices, each with memory of its own:
the slices are returned in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.gpu import Gpu, GpuProcess
from engine.host import read_ram


def read_gpus() -> tuple[tuple[Gpu, ...], str]:
    """All cards NVML shows, in its order, and a note on what is missing and how to mend it ("" if nothing)."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return (), "The package nvidia-ml-py is missing, so no card can be read: python -m pip install nvidia-ml-py"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), _start_note(pynvml, error)
    try:
        return _read_all(pynvml)
    finally:
        _quietly_shut_down(pynvml)


class OpenCard:
    """One card or MIG slice, by its UUID ("" for the first), kept open to be read again and again."""

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid
        self._nvml: Any = None

    def read(self) -> tuple[Gpu, float | None] | None:
        """The card now and the watts it draws (None: not told); None if the driver does not answer at all.

        It is opened anew after a failure. A slice draws no watts of its own.
        """
        try:
            import pynvml
        except ModuleNotFoundError:
            return None
        try:
            if self._nvml is None:
                pynvml.nvmlInit()
                self._nvml = pynvml
            return self._read(pynvml)
        except pynvml.NVMLError:
            self._close()
            return None

    def _close(self) -> None:
        if self._nvml is not None:
            _quietly_shut_down(self._nvml)
            self._nvml = None

    def _read(self, nvml: Any) -> tuple[Gpu, float | None] | None:
        handle = nvml.nvmlDeviceGetHandleByUUID(self.uuid) if self.uuid else nvml.nvmlDeviceGetHandleByIndex(0)
        is_slice = self.uuid.startswith("MIG-")
        whole = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle) if is_slice else handle
        ask = _Reader(nvml)
        mig, parent = ("slice", whole) if is_slice else ("off", None)
        gpu = _read_device(ask, handle, 0, "", mig, parent=parent)
        if gpu is None:
            return None
        milliwatts = None if is_slice else ask.ask("power", nvml.nvmlDeviceGetPowerUsage, whole)
        return gpu, None if milliwatts is None else milliwatts / 1000


def _quietly_shut_down(pynvml: Any) -> None:
    """A card that fell off the bus meanwhile must not cost the readings taken before."""
    try:
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return


def _start_note(pynvml: Any, error: Any) -> str:
    """Why NVML did not start, and the remedy. "" for the plain case of no driver library, which the caller
    explains better by looking at the machine."""
    if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return ""
    explained = {
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
            "The NVIDIA driver library and the loaded kernel module are of different versions "
            "(driver/library version mismatch): the driver was updated while loaded. Reboot: sudo reboot"
        ),
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
            "The NVIDIA driver library is installed but its kernel module is not loaded. "
            "Load it: sudo modprobe nvidia (in a container, start it with --gpus all)"
        ),
        pynvml.NVML_ERROR_NO_PERMISSION: (
            "This user may not open the NVIDIA driver. Look at the device files: ls -l /dev/nvidia*"
        ),
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: (
            "The NVIDIA driver library is too old for nvidia-ml-py. Update the driver; it is shown by: nvidia-smi"
        ),
    }
    return explained.get(error.value, f"The NVIDIA driver does not answer ({error}). See what it says: nvidia-smi")


def _read_all(pynvml: Any) -> tuple[tuple[Gpu, ...], str]:
    machine = _Reader(pynvml)
    count = machine.ask("number of cards", pynvml.nvmlDeviceGetCount)
    if count is None:
        return (), f"The NVIDIA driver does not say which cards there are ({'; '.join(machine.problems)})."
    if count == 0:
        return (), "The NVIDIA driver works but shows no card. See what it shows: nvidia-smi -L"
    driver = _text(machine.ask("driver version", pynvml.nvmlSystemGetDriverVersion))
    gpus: list[Gpu] = []
    notes: list[str] = []
    for index in range(count):
        card = _Reader(pynvml)
        handle = card.ask("card", pynvml.nvmlDeviceGetHandleByIndex, index)
        if handle is None:
            notes.append(_silent_note(index, card))
            continue
        found, note = _read_card(card, handle, index, driver)
        gpus.extend(found)
        notes.extend([note] if note else [])
    return tuple(gpus), " ".join(notes)


def _silent_note(index: int, ask: _Reader) -> str:
    return (
        f"GPU {index} does not answer ({'; '.join(ask.problems)}), so it is left out. "
        "See what the driver says: nvidia-smi; sudo dmesg | grep -i nvrm"
    )


def _read_card(ask: _Reader, handle: Any, index: int, driver: str) -> tuple[list[Gpu], str]:
    """The card, or its slices if MIG is on, and a note if it cannot be used as it is."""
    nvml = ask.nvml
    mig = _mig_mode(ask, handle)
    if mig != "on":
        gpu = _read_device(ask, handle, index, driver, mig)
        return ([gpu], "") if gpu else ([], _silent_note(index, ask))
    slices: list[Gpu] = []
    for number in range(ask.ask("number of MIG slices", nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        part = _Reader(nvml)
        # NVML counts places for slices; empty places answer "not found", which is no problem of the card.
        part_handle = part.ask("MIG slice", nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
        gpu = _read_device(part, part_handle, index, driver, "slice", parent=handle) if part_handle else None
        slices.extend([gpu] if gpu else [])
    if slices:
        return slices, ""
    return [], (
        f"GPU {index} is in MIG mode without a slice that this user may use, so CUDA cannot use it. "
        f"Turn MIG off: sudo nvidia-smi -i {index} -mig 0 (or make slices: sudo nvidia-smi mig -i {index} -cgi 0 -C)"
    )


def _read_device(ask: _Reader, handle: Any, index: int, driver: str, mig: str, parent: Any = None) -> Gpu | None:
    """None if it does not tell its memory, as a card that fell off the bus. `parent` is the whole card when
    `handle` is a slice: slices do not tell temperature and capability."""
    nvml = ask.nvml
    whole = handle if parent is None else parent
    rates = ask.ask("utilisation", nvml.nvmlDeviceGetUtilizationRates, handle) if parent is None else None
    memory = _memory(ask, handle)
    if memory is None:
        return None
    return Gpu(
        index=index,
        name=_text(ask.ask("name", nvml.nvmlDeviceGetName, handle)) or f"NVIDIA GPU {index}",
        uuid=_text(ask.ask("UUID", nvml.nvmlDeviceGetUUID, handle)),
        total_bytes=memory.total_bytes,
        free_bytes=memory.free_bytes,
        used_bytes=memory.used_bytes,
        reserved_bytes=memory.reserved_bytes,
        compute_capability=ask.ask("compute capability", nvml.nvmlDeviceGetCudaComputeCapability, whole),
        driver=driver,
        temperature_celsius=ask.ask("temperature", nvml.nvmlDeviceGetTemperature, whole, nvml.NVML_TEMPERATURE_GPU),
        utilisation_percent=None if rates is None else int(rates.gpu),
        processes=_processes(ask, handle),
        mig=mig,
        problems=tuple(ask.problems),
    )


def _mig_mode(ask: _Reader, handle: Any) -> str:
    """ "on", "off" (also for cards that never heard of MIG) or "unknown"."""
    nvml = ask.nvml
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError as error:
        if error.value in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND):
            return "off"
        ask.problems.append(f"MIG mode: {error}")
        return "unknown"
    return "on" if current == nvml.NVML_DEVICE_MIG_ENABLE else "off"


def _memory(ask: _Reader, handle: Any) -> _Memory | None:
    """None if the card does not answer. Only the newer call tells the driver's share; cards that share the
    machine's RAM (Jetson, DGX Spark) support neither, and the RAM is what they have."""
    nvml = ask.nvml
    newer = ask.ask("memory with the driver's share", nvml.nvmlDeviceGetMemoryInfo, handle, nvml.nvmlMemory_v2)
    if newer is not None:
        total, free, reserved = int(newer.total), int(newer.free), int(newer.reserved)
        return _Memory(total, free, max(total - free - reserved, 0), reserved)
    try:
        older = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError as error:
        ask.problems.append(f"memory: {error}")
        if error.value != nvml.NVML_ERROR_NOT_SUPPORTED:
            return None
        ask.problems.append("taken as a card that shares the machine's RAM")
        ram = read_ram()
        return _Memory(ram.total_bytes, ram.available_bytes, ram.total_bytes - ram.available_bytes, None)
    return _Memory(int(older.total), int(older.free), int(older.used), None)


def _processes(ask: _Reader, handle: Any) -> tuple[GpuProcess, ...]:
    running = ask.ask("processes", ask.nvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
    return tuple(
        GpuProcess(
            pid=int(process.pid),
            used_bytes=None if process.usedGpuMemory is None else int(process.usedGpuMemory),
            name=_process_name(int(process.pid)),
        )
        for process in running
    )


def _process_name(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class _Memory:
    """`reserved_bytes` is the driver's share, None if not told."""

    total_bytes: int
    free_bytes: int
    used_bytes: int
    reserved_bytes: int | None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Asks NVML one question after another and keeps what was not answered."""

    nvml: Any
    problems: list[str] = field(default_factory=list)

    def ask(self, what: str, question: Callable[..., Any], *about: Any) -> Any:
        """The answer, or None, noted under `what`, if the driver gives none."""
        try:
            return question(*about)
        except self.nvml.NVMLError as error:
            self.problems.append(f"{what}: {error}")
            return None


def _text(answer: str | bytes | None) -> str:
    """Bindings of different ages answer str or bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer or ""
