"""Every allocation and release of a step, written down while the real code runs on fake tensors.

A `Tracker` is a dispatch mode: it sees each operator's outputs and follows their storages until they die. What
the record means (peaks, terms) is `measuring`; memory that a card takes without any tensor is `cuda_kernels`.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

CUDA_GRANULARITY = 512
"""Bytes to which CUDA's caching allocator rounds every block."""

_DEVICE = torch.ops.prim.device.default
_ADD = torch.ops.aten.add.Tensor

HiddenBytes = Callable[[tuple[Any, ...], dict[str, Any], Any], list[int]]
"""Operator's arguments, named arguments and output -> sizes in bytes of blocks it holds only while it runs."""


@dataclass(slots=True)
class Record:
    """What happened, in order. A tensor is a number from 0 on; the four lists by tensor describe it.

    `events` are (tensor, +bytes) when it came and (tensor, -bytes) when it went; `marks` are (position in
    events, name) and say where a phase or a layer begins.
    """

    events: list[tuple[int, int]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)
    layers: list[int | None] = field(default_factory=list)

    def mark(self, name: str) -> None:
        self.marks.append((len(self.events), name))


class Tracker(TorchDispatchMode):
    """Writes a `Record`. Sizes are rounded up to `granularity` bytes; `hidden` are the operators' extra blocks.

    A tensor's kind is that of the scope it was made in, or what `name` says about it later.
    """

    def __init__(self, *, granularity: int, hidden: Mapping[Any, HiddenBytes]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.record = Record()
        self.kind = "step"
        self.list_layers: dict[int, list[int | None]] = {}
        """For operators over lists: by the length of their output, the layer that each entry belongs to."""
        self._granularity = granularity
        self._hidden = hidden
        self._live: dict[int, tuple[int, int]] = {}
        self._deferred: list[tuple[int, int]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is _DEVICE and hasattr(args[0], "fake_device"):
            return args[0].fake_device
        self._write_deferred()
        named = kwargs or {}
        output = func(*args, **named)
        if func is _ADD and self._accumulates(args):
            self._see(output, defer=True)
            return output
        hidden = self._hidden.get(func)
        sizes = hidden(args, named, output) if hidden is not None else []
        blocks = [(self._new("temporaries"), self._rounded(size)) for size in sizes if size]
        self.record.events += blocks
        before = len(self.record.kinds)
        for tensor in tree_iter(output):
            self._see(tensor)
        if isinstance(output, (list, tuple)) and len(output) in self.list_layers:
            self._share_out(output, self.list_layers[len(output)], before)
        self.record.events += [(block, -size) for block, size in blocks]
        return output

    def add(self, size: int, kind: str) -> None:
        """Memory that stays until the end, without a tensor."""
        self.record.events.append((self._new(kind), self._rounded(size)))

    @contextmanager
    def around(self, size: int, layer: int | None) -> Iterator[None]:
        """A block without a tensor that is there while something else comes."""
        block = self._new("temporaries")
        self.record.layers[block] = layer
        self.record.events.append((block, self._rounded(size)))
        yield
        self.record.events.append((block, -self._rounded(size)))

    def name(self, tensor: torch.Tensor, kind: str, layer: int | None = None) -> None:
        """Say what a tensor is; one not seen before comes now."""
        self._see(tensor)
        entry = self._live.get(tensor.untyped_storage()._cdata)
        if entry is not None:
            self.record.kinds[entry[0]] = kind
            self.record.layers[entry[0]] = layer

    def leave(self, tensor: torch.Tensor) -> None:
        """A tensor that lies in the host's memory, whatever the device: not counted from now on."""
        entry = self._live.get(tensor.untyped_storage()._cdata)
        if entry is not None and entry[1]:
            self.record.events.append((entry[0], -entry[1]))
            self._live[tensor.untyped_storage()._cdata] = (-1, 0)

    @contextmanager
    def scope(self, kind: str) -> Iterator[None]:
        """Tensors made inside are of this kind."""
        before, self.kind = self.kind, kind
        try:
            yield
        finally:
            self.kind = before

    def phase(self, name: str) -> None:
        """A new phase begins."""
        self._write_deferred()
        gc.collect()
        self.record.mark(name)

    def finish(self) -> Record:
        self._write_deferred()
        return self.record

    def _accumulates(self, args: tuple[Any, ...]) -> bool:
        """autograd adds a second gradient in place; under a dispatch mode it does so out of place.

        Such a sum is written down at the next operator: if the old gradient has died by then, there was no spike.
        """
        return (
            not torch.is_grad_enabled()
            and self.kind == "backward"
            and isinstance(args[1], torch.Tensor)
            and args[0].shape == args[1].shape
        )

    def _write_deferred(self) -> None:
        if self._deferred:
            self.record.events += self._deferred
            self._deferred = []

    def _see(self, tensor: Any, defer: bool = False) -> None:
        if not isinstance(tensor, torch.Tensor) or tensor.device.type == "meta":
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        size = self._rounded(storage.nbytes())
        if key in self._live or size == 0:
            return
        number = self._new(self.kind if not (self.kind == "backward" and torch.is_grad_enabled()) else "recomputed")
        self._live[key] = (number, size)
        weakref.finalize(storage, self._gone, key, number, size).atexit = False
        (self._deferred if defer else self.record.events).append((number, size))

    def _gone(self, key: int, number: int, size: int) -> None:
        if self._live.get(key, (None, 0))[0] == number:
            del self._live[key]
            pending = any(tensor == number for tensor, _ in self._deferred)
            (self._deferred if pending else self.record.events).append((number, -size))

    def _new(self, kind: str) -> int:
        self.record.kinds.append(kind)
        self.record.layers.append(None)
        return len(self.record.kinds) - 1

    def _share_out(self, tensors: Any, layers: list[int | None], first_new: int) -> None:
        for tensor, layer in zip(tensors, layers, strict=True):
            entry = self._live.get(tensor.untyped_storage()._cdata) if isinstance(tensor, torch.Tensor) else None
            if entry is not None and entry[0] >= first_new:
                self.record.layers[entry[0]] = layer

    def _rounded(self, size: int) -> int:
        return -(-size // self._granularity) * self._granularity
