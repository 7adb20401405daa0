"""Safetensors files read and written one tensor at a time, so that a model never lies in memory whole.

The library maps a file or takes all tensors of one at once; the format is simple enough to be followed instead: eight
bytes of length, a JSON header {name: {dtype, shape, data_offsets}}, then the tensors one behind the other.
Not here: what the tensors mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from engine.errors import ModelError

MAX_HEADER_BYTES = 100_000_000
"""As in the library: a longer one is not believed."""
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
INDEX = "model.safetensors.index.json"
COPY_BYTES = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: its type as the format spells it, its shape, and where its bytes lie in its file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    num_bytes: int


def entries(folder: Path) -> dict[str, Entry]:
    """Every tensor of a folder's weights by name, file by file in the order they lie there. Raises ModelError."""
    found: dict[str, Entry] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if length > MAX_HEADER_BYTES:
                    raise ValueError("its header is too long")
                header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            in_file = {
                name: Entry(path, each["dtype"], tuple(each["shape"]), 8 + length + first, last - first)
                for name, each in header.items()
                for first, last in [each["data_offsets"]]
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
            raise ModelError(
                f"{path} cannot be read: {fault}.",
                means="The weights were changed or cut short since they were checked.",
                remedy="Fetch the model again.",
            ) from fault
        found |= dict(sorted(in_file.items(), key=lambda item: item[1].start))
    return found


def read(entry: Entry) -> Any:
    """The tensor, in a memory of its own. Raises ModelError for a type that no weight has."""
    import torch

    if entry.dtype not in DTYPES:
        raise ModelError(
            f"A tensor in {entry.file.name} is of type {entry.dtype}, which is no type of plain weights.",
            means="finetui merges into float32, float16 and bfloat16.",
            remedy="Use the model's unquantized weights as base.",
        )
    raw = bytearray(entry.num_bytes)
    with entry.file.open("rb") as file:
        file.seek(entry.start)
        if file.readinto(raw) != entry.num_bytes:
            raise ModelError(f"{entry.file} is cut short.", remedy="Fetch the model again.")
    dtype = getattr(torch, DTYPES[entry.dtype])
    return torch.frombuffer(raw, dtype=dtype).reshape(entry.shape) if raw else torch.empty(entry.shape, dtype=dtype)


@dataclass(slots=True)
class TensorWriter:
    """Writes the tensors that were announced, in that order."""

    file: BinaryIO
    left: list[tuple[str, Entry]]

    def put(self, name: str, tensor: Any) -> None:
        """The next tensor, in the type it was announced with."""
        import torch

        announced = self._next(name)
        if DTYPES.get(announced.dtype) != str(tensor.dtype).removeprefix("torch."):
            raise ValueError(f"{name} is {tensor.dtype}, announced as {announced.dtype}")
        if tuple(tensor.shape) != announced.shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, announced as {announced.shape}")
        flat = tensor.contiguous().flatten()
        self.file.write(memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else b"")

    def copy(self, name: str) -> None:
        """The next tensor, as it lies in the file that it was announced from."""
        announced = self._next(name)
        left = announced.num_bytes
        with announced.file.open("rb") as source:
            source.seek(announced.start)
            while left:
                block = source.read(min(left, COPY_BYTES))
                if not block:
                    raise ModelError(f"{announced.file} is cut short.", remedy="Fetch the model again.")
                self.file.write(block)
                left -= len(block)

    def _next(self, name: str) -> Entry:
        announced, entry = self.left.pop(0)
        if announced != name:
            raise ValueError(f"{announced} comes next, not {name}")
        return entry


@contextmanager
def writing(path: Path, tensors: Mapping[str, Entry]) -> Iterator[TensorWriter]:
    """A file that will hold these tensors; every one has to be put or copied, in this order."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, entry in tensors.items():
        header[name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [place, place + entry.num_bytes],
        }
        place += entry.num_bytes
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        writer = TensorWriter(file, list(tensors.items()))
        yield writer
        if writer.left:
            raise ValueError(f"{writer.left[0][0]} was announced and never written")


def write_index(folder: Path, places: Mapping[str, str], num_bytes: int) -> None:
    """The table by which transformers finds the tensors of several files."""
    index = {"metadata": {"total_size": num_bytes}, "weight_map": dict(sorted(places.items()))}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
