"""The bytes at the front of a GGUF file: its metadata and the list of its tensors, without the vocabulary.

A reader of our own, because gguf's own makes an object of every one of 262,144 tokens: 12 s for Gemma 3 against
0.2 s. Layout: the GGUF specification of ggml, versions 2 and 3. What the values mean is engine/gguf_header.py.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_ARRAY = 4096
"""Arrays with more elements (tokens, merges, scores) are passed over."""
MAX_VALUES, MAX_TENSORS, MAX_ELEMENTS = 10_000, 500_000, 2**22
"""Of metadata, of tensors, and of texts in one array. Real files have 50, 50,000 and 600,000 of them; a file with
holes can claim any number without taking room on the disk."""
MAX_DIMENSIONS, MAX_TEXT_BYTES = 4, 64 * 1024**2
"""Four are GGML_MAX_DIMS of ggml.h. The longest texts are chat templates."""
_NUMBERS: Mapping[int, str] = MappingProxyType(
    {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
)
_STRING, _ARRAY = 8, 9


class TensorType(NamedTuple):
    """A type of ggml: its name, and how many elements make a block of how many bytes."""

    name: str
    block_elements: int
    block_bytes: int


TENSOR_TYPES: Mapping[int, TensorType] = MappingProxyType(
    {
        0: TensorType("F32", 1, 4),
        1: TensorType("F16", 1, 2),
        2: TensorType("Q4_0", 32, 18),
        3: TensorType("Q4_1", 32, 20),
        6: TensorType("Q5_0", 32, 22),
        7: TensorType("Q5_1", 32, 24),
        8: TensorType("Q8_0", 32, 34),
        9: TensorType("Q8_1", 32, 40),
        10: TensorType("Q2_K", 256, 84),
        11: TensorType("Q3_K", 256, 110),
        12: TensorType("Q4_K", 256, 144),
        13: TensorType("Q5_K", 256, 176),
        14: TensorType("Q6_K", 256, 210),
        15: TensorType("Q8_K", 256, 292),
        16: TensorType("IQ2_XXS", 256, 66),
        17: TensorType("IQ2_XS", 256, 74),
        18: TensorType("IQ3_XXS", 256, 98),
        19: TensorType("IQ1_S", 256, 50),
        20: TensorType("IQ4_NL", 32, 18),
        21: TensorType("IQ3_S", 256, 110),
        22: TensorType("IQ2_S", 256, 82),
        23: TensorType("IQ4_XS", 256, 136),
        24: TensorType("I8", 1, 1),
        25: TensorType("I16", 1, 2),
        26: TensorType("I32", 1, 4),
        27: TensorType("I64", 1, 8),
        28: TensorType("F64", 1, 8),
        29: TensorType("IQ1_M", 256, 56),
        30: TensorType("BF16", 1, 2),
        34: TensorType("TQ1_0", 256, 54),
        35: TensorType("TQ2_0", 256, 66),
        39: TensorType("MXFP4", 32, 17),
        40: TensorType("NVFP4", 64, 36),
        41: TensorType("Q1_0", 128, 18),
    }
)
"""The types of ggml.h. One that is not here yet is called by its number, and its size is not checked."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: its name, its shape (the innermost dimension first, as ggml counts) and its type's name."""

    name: str
    shape: tuple[int, ...]
    type_name: str

    @property
    def num_elements(self) -> int:
        return math.prod(self.shape)


def read_gguf_metadata(path: Path) -> tuple[dict[str, Any], tuple[TensorInfo, ...]]:
    """(metadata without long arrays, tensors). No tensor is read, but every one must lie within the file.

    Raises OSError for a file that cannot be opened and ValueError for one that is cut short or no GGUF file.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _Cursor(data).file()
        except struct.error as fault:
            raise ValueError("its header is cut short") from fault


class _Cursor:
    """Reads forward through the header. Numbers are little-endian."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def number(self, code: str) -> Any:
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def text(self) -> str:
        length = self.number("Q")
        if length > min(len(self.data) - self.at, MAX_TEXT_BYTES):
            raise ValueError("a text in its header is longer than the file, or than any text there is")
        start, self.at = self.at, self.at + length
        return self.data[start : self.at].decode("utf-8", errors="replace")

    def skip_texts(self, count: int) -> None:
        """Pass over `count` texts as fast as Python can: half a million merges in 0.15 s."""
        _bounded(count, MAX_ELEMENTS, "texts in an array")
        read, data, at = struct.Struct("<Q").unpack_from, self.data, self.at
        for _ in range(count):
            at += 8 + read(data, at)[0]
        self.at = at

    def array(self) -> list[Any] | None:
        """The elements, or None for a long array."""
        kind, count = self.number("I"), self.number("Q")
        if kind == _STRING:
            if count <= MAX_ARRAY:
                return [self.text() for _ in range(count)]
            self.skip_texts(count)
            return None
        if kind == _ARRAY:
            raise ValueError("its header holds an array of arrays, which no GGUF writer makes")
        code = _code(kind)
        if count <= MAX_ARRAY:
            return [self.number(code) for _ in range(count)]
        self.at += count * struct.calcsize("<" + code)
        return None

    def value(self) -> Any:
        kind = self.number("I")
        if kind == _STRING:
            return self.text()
        return self.array() if kind == _ARRAY else self.number(_code(kind))

    def file(self) -> tuple[dict[str, Any], tuple[TensorInfo, ...]]:
        if self.data[:4] != MAGIC:
            raise ValueError("it does not begin with GGUF")
        self.at = 4
        version, num_tensors, num_values = self.number("I"), self.number("Q"), self.number("Q")
        if version not in VERSIONS:
            raise ValueError(f"it is of GGUF version {version}; versions 2 and 3 of little-endian machines are read")
        _bounded(num_values, MAX_VALUES, "values")
        _bounded(num_tensors, MAX_TENSORS, "tensors")
        values = {self.text(): self.value() for _ in range(num_values)}
        tensors = [self.tensor() for _ in range(num_tensors)]
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"its tensors are aligned to {alignment!r} bytes")
        start = -(-self.at // alignment) * alignment
        for tensor, end in tensors:
            if start + end > len(self.data):
                raise ValueError(f"it ends before its tensor {tensor.name} does")
        return {name: value for name, value in values.items() if value is not None}, tuple(t for t, _ in tensors)

    def tensor(self) -> tuple[TensorInfo, int]:
        """A tensor and where it ends, in bytes from the start of the tensors."""
        name, num_dimensions = self.text(), self.number("I")
        _bounded(num_dimensions, MAX_DIMENSIONS, "dimensions of a tensor")
        shape = tuple(self.number("Q") for _ in range(num_dimensions))
        number, offset = self.number("I"), self.number("Q")
        kind = TENSOR_TYPES.get(number, TensorType(f"type {number}", 1, 0))
        info = TensorInfo(name, shape, kind.name)
        return info, offset + info.num_elements // kind.block_elements * kind.block_bytes


def _bounded(count: int, most: int, what: str) -> None:
    if count > most:
        raise ValueError(f"it claims {count:,} {what}; at most {most:,} are believed")


def _code(kind: int) -> str:
    if kind not in _NUMBERS:
        raise ValueError(f"its header holds a value of the unknown type {kind}")
    return _NUMBERS[kind]
