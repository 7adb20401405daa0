"""What a piece of real work takes of this device's memory: its peak, phase by phase, as torch's allocator counts it.

On a CPU every allocator event is recorded and added up, and the kernel's high-water mark of resident memory is
read beside it; on a card torch keeps the peak itself. Not here: which work is measured, and what is predicted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch._C._autograd import _disable_profiler, _enable_profiler, _prepare_profiler
from torch._C._profiler import ProfilerConfig, ProfilerState, RecordScope, _ExperimentalConfig
from torch.profiler import ProfilerActivity, record_function

T = TypeVar("T")

WHOLE = "all"
"""Name of the phase of work that names none."""
_MARK = "finetui phase: "
_PROC = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class PhasePeak:
    """One phase: the most that was allocated in it, above what was allocated when the measurement began."""

    phase: str
    peak_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Measured(Generic[T]):
    """One measurement. A phase entered several times has one entry, with its highest peak and its whole time."""

    result: T
    phases: tuple[PhasePeak, ...]
    left_bytes: int
    """Allocated at the end, above what was at the beginning; below zero where the work released more than it made."""
    seconds: float
    allocated_before_bytes: int | None
    """Allocated when the measurement began: known on a card only."""
    reserved_bytes: int | None
    """Largest pool of torch's allocator during the work; None on a CPU, whose allocator keeps none."""
    device_used_bytes: int | None
    """On a card, what all processes held of it at the end of a phase, at most. On a CPU, by how much resident memory
    rose at most; None where the kernel does not tell (it takes Linux with /proc/self/clear_refs)."""

    @property
    def peak_bytes(self) -> int:
        """Highest peak of all phases, above what was allocated when the measurement began."""
        return max(phase.peak_bytes for phase in self.phases)


class Meter:
    """Measures what happens inside its `with` block on `device` ("cpu", "cuda:0"); `enter` begins a phase.

    After the block, also one that ended in an exception, `measured` holds the figures. On a CPU, memory that
    was allocated before the block and is released in it is not seen to go: measure whole steps, which return
    what they took. One measurement at a time in a process (else ValueError), and no other profiler beside it.
    """

    _running: ClassVar[bool] = False

    def __init__(self, device: str) -> None:
        self._gauge: _CpuGauge | _CudaGauge = _CpuGauge() if device == "cpu" else _CudaGauge(device)
        self._entered: list[tuple[str, float]] = []
        self._ended = 0.0

    def __enter__(self) -> Meter:
        if Meter._running:
            raise ValueError("another measurement is running")
        self._gauge.start()
        Meter._running = True
        self.enter(WHOLE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        Meter._running = False
        self._gauge.stop()
        self._ended = time.perf_counter()

    def enter(self, phase: str) -> None:
        """From here on, memory and time count for `phase`."""
        self._gauge.enter(phase)
        self._entered.append((phase, time.perf_counter()))

    def measured(self, result: T) -> Measured[T]:
        """The figures, with `result` beside them."""
        spent: dict[str, float] = {}
        for (phase, begun), (_, ended) in zip(self._entered, [*self._entered[1:], ("", self._ended)], strict=True):
            spent[phase] = spent.get(phase, 0.0) + ended - begun
        peaks, left = self._gauge.read()
        if len(spent) > 1 and peaks.get(WHOLE, 0) <= 0:  # nothing happened before the first named phase
            del spent[WHOLE]
        return Measured(
            result=result,
            phases=tuple(PhasePeak(phase, peaks.get(phase, 0), seconds) for phase, seconds in spent.items()),
            left_bytes=left,
            seconds=self._ended - self._entered[0][1],
            allocated_before_bytes=self._gauge.allocated_before_bytes,
            reserved_bytes=self._gauge.reserved_bytes,
            device_used_bytes=self._gauge.device_used_bytes,
        )


def measure(work: Callable[[], T], *, device: str) -> Measured[T]:
    """Do `work` and measure it as one phase. Whatever it raises passes through."""
    with Meter(device) as meter:
        result = work()
    return meter.measured(result)


class _CpuGauge:
    """Records allocator events only, not the operators: a fraction of what the whole profiler would write down.

    Their list, 1-2 KB for each, is made when the work is done and its memory free again; meanwhile it is 100 B.
    """

    allocated_before_bytes: int | None = None
    reserved_bytes: int | None = None
    device_used_bytes: int | None = None

    def start(self) -> None:
        self._resident = _resident_bytes() if _reset_high_water_mark() else None
        config = ProfilerConfig(ProfilerState.KINETO, False, True, False, False, False, _ExperimentalConfig(), "")
        _prepare_profiler(config, {ProfilerActivity.CPU})
        # torch's type stubs lag behind: the third argument, and `nbytes` below, are in the module itself.
        _enable_profiler(config, {ProfilerActivity.CPU}, {RecordScope.USER_SCOPE})  # type: ignore[call-arg]

    def enter(self, phase: str) -> None:
        with record_function(_MARK + phase):
            pass

    def stop(self) -> None:
        self._events = _disable_profiler().events()
        if self._resident is not None:
            self.device_used_bytes = max(0, _high_water_mark() - self._resident)

    def read(self) -> tuple[dict[str, int], int]:
        """Peak of each phase, and what was left at the end."""
        events = sorted(self._events, key=lambda event: event.start_ns())
        peaks: dict[str, int] = {}
        phase, allocated = WHOLE, 0
        for event in events:
            if event.name().startswith(_MARK):
                phase = event.name().removeprefix(_MARK)
            elif event.name() == "[memory]":
                allocated += event.nbytes()  # type: ignore[attr-defined]
            peaks[phase] = max(peaks.get(phase, 0), allocated)
        return peaks, allocated


class _CudaGauge:
    def __init__(self, device: str) -> None:
        self._device = device
        self._phase = WHOLE
        self._peaks: dict[str, int] = {}
        self.allocated_before_bytes: int | None = None
        self.reserved_bytes: int | None = None
        self.device_used_bytes: int | None = None

    def start(self) -> None:
        torch.cuda.synchronize(self._device)
        self.allocated_before_bytes = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)

    def enter(self, phase: str) -> None:
        self._note()
        self._phase = phase
        torch.cuda.reset_peak_memory_stats(self._device)

    def stop(self) -> None:
        self._note()

    def read(self) -> tuple[dict[str, int], int]:
        assert self.allocated_before_bytes is not None
        return self._peaks, torch.cuda.memory_allocated(self._device) - self.allocated_before_bytes

    def _note(self) -> None:
        assert self.allocated_before_bytes is not None
        torch.cuda.synchronize(self._device)
        peak = torch.cuda.max_memory_allocated(self._device) - self.allocated_before_bytes
        self._peaks[self._phase] = max(self._peaks.get(self._phase, 0), peak)
        self.reserved_bytes = max(self.reserved_bytes or 0, torch.cuda.max_memory_reserved(self._device))
        free, total = torch.cuda.mem_get_info(self._device)
        self.device_used_bytes = max(self.device_used_bytes or 0, total - free)


def tensor_bytes(model: torch.nn.Module, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Bytes of all that stays between steps: parameters, buffers, 4-bit quantization states, optimizer state.

    Each storage counts once, however many tensors share it, and only where it lies on the model's device.
    Gradients do not count.
    """
    device = next(model.parameters()).device
    storages: dict[int, int] = {}
    for kept in _kept(model, optimizer):
        tensor = getattr(kept, "_local_tensor", kept)  # of one that is spread over ranks, this rank's part
        if tensor.device == device:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def _kept(model: torch.nn.Module, optimizer: torch.optim.Optimizer | None) -> Iterator[torch.Tensor]:
    yield from model.buffers()
    for parameter in model.parameters():
        yield parameter
        yield from _of_quantization(getattr(parameter, "quant_state", None))
    if optimizer is not None:
        for state in optimizer.state.values():
            yield from (value for value in state.values() if torch.is_tensor(value))
        # bitsandbytes' optimizers keep their tables of 8-bit values beside the state.
        tables: dict[str, torch.Tensor] = getattr(optimizer, "name2qmap", {})
        yield from tables.values()


def _of_quantization(state: Any) -> Iterator[torch.Tensor]:
    """The tensors of a bitsandbytes QuantState, nested ones too."""
    if state is None:
        return
    for name in ("absmax", "code", "offset"):
        value = getattr(state, name, None)
        if torch.is_tensor(value):
            yield value
    yield from _of_quantization(getattr(state, "state2", None))


def _reset_high_water_mark() -> bool:
    """Whether VmHWM now starts from what is resident."""
    try:
        (_PROC / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _high_water_mark() -> int:
    return _status_bytes("VmHWM")


def _resident_bytes() -> int:
    return _status_bytes("VmRSS")


def _status_bytes(field: str) -> int:
    for line in (_PROC / "status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")
