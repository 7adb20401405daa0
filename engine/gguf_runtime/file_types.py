"""The file types offered for GGUF, and what they come to for one model: bits per weight, and where widths forbid them.

`foresee` follows llama.cpp's own choice of a type per tensor, for the dense models that are exported here; a test holds
it against what llama.cpp writes. Not here: quantizing (`quantizing`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from engine.gguf_metadata import TENSOR_TYPES, TensorInfo, read_gguf_metadata

CODES: Mapping[str, int] = MappingProxyType({"F16": 1, "Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17, "Q4_K_M": 15})
"""llama.cpp's number of each file type, which is `general.file_type` in the header; the largest type first."""
WITHOUT_MATRIX = ("F16", "Q8_0")
"""Types that llama.cpp rounds alike with and without an importance matrix."""
FALLBACK: Mapping[str, str] = MappingProxyType({"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"})
"""What llama.cpp takes where a row is no multiple of 256 wide, as k-quants want it."""
WORTH_A_WORD = 1.1
"""From this many times the bits that a type has on wide rows, another type is proposed."""
NOMINAL_BITS: Mapping[str, float] = MappingProxyType(
    {"F16": 16.0, "Q8_0": 8.5, "Q6_K": 6.56, "Q5_K_M": 5.7, "Q4_K_M": 4.9}
)
"""Bits per weight of Llama-like models whose rows are multiples of 256; llama.cpp's quantize states about these."""
_BASE: Mapping[str, str] = MappingProxyType({"Q6_K": "Q6_K", "Q5_K_M": "Q5_K", "Q4_K_M": "Q4_K"})
_BLOCKS = {kind.name: kind for kind in TENSOR_TYPES.values()}


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a file type comes to. `fallbacks` counts tensors that take another type because of their width.

    `better` is the type to prefer instead, None where this one is as good as its name.
    """

    file_type: str
    num_bytes: int
    bits_per_weight: float
    tensor_types: Mapping[str, int]
    fallbacks: int
    narrow_widths: tuple[int, ...]
    better: str | None = None
    better_bits: float | None = None

    @property
    def sentence(self) -> str:
        """What is worth saying before it is made; empty where the type is what its name says."""
        if not self.fallbacks:
            return ""
        widths = " and ".join(f"{width:,}" for width in self.narrow_widths)
        said = (
            f"{self.file_type} is really {self.bits_per_weight:.2f} bits per weight here: {self.fallbacks} of "
            f"{sum(self.tensor_types.values())} tensors are {widths} wide, no multiple of 256, and fall back to "
            "larger types."
        )
        if self.better:
            said += f" {self.better} takes {self.better_bits:.2f} bits and keeps more of the model."
        return said


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies in a GGUF file; `num_bytes` is the file's size, the bits are those of its tensors."""

    file_type: str
    num_bytes: int
    bits_per_weight: float
    tensor_types: Mapping[str, int]
    tensors: tuple[TensorInfo, ...]


def contents(path: Path) -> Contents:
    """Read from the header. Raises OSError and ValueError as `read_gguf_metadata` does."""
    values, tensors = read_gguf_metadata(path)
    code = values.get("general.file_type")
    name = next((name for name, number in CODES.items() if number == code), f"type {code}")
    bits = 8 * sum(_num_bytes(tensor, tensor.type_name) for tensor in tensors)
    return Contents(
        file_type=name,
        num_bytes=path.stat().st_size,
        bits_per_weight=bits / max(1, sum(tensor.num_elements for tensor in tensors)),
        tensor_types=dict(Counter(tensor.type_name for tensor in tensors).most_common()),
        tensors=tensors,
    )


def foresee(tensors: Sequence[TensorInfo], file_type: str) -> Foreseen:
    """What quantizing these tensors to `file_type` comes to. Pure. Raises KeyError for a type not offered."""
    foreseen = _foresee(tensors, file_type)
    if foreseen.bits_per_weight < WORTH_A_WORD * NOMINAL_BITS[file_type] or not foreseen.fallbacks:
        return foreseen
    larger = [_foresee(tensors, name) for name in list(CODES)[: list(CODES).index(file_type)]]
    better = next((each for each in reversed(larger) if not each.fallbacks), None)
    if better is None:
        return foreseen
    return Foreseen(
        foreseen.file_type,
        foreseen.num_bytes,
        foreseen.bits_per_weight,
        foreseen.tensor_types,
        foreseen.fallbacks,
        foreseen.narrow_widths,
        better.file_type,
        better.bits_per_weight,
    )


def _foresee(tensors: Sequence[TensorInfo], file_type: str) -> Foreseen:
    code = CODES[file_type]
    num_layers = 1 + max((_layer(tensor.name) for tensor in tensors), default=-1)
    is_tied = all(tensor.name != "output.weight" for tensor in tensors)
    types: Counter[str] = Counter()
    narrow: set[int] = set()
    num_bytes, fallbacks = 0, 0
    for tensor in tensors:
        wanted = _wanted(tensor, file_type, num_layers, is_tied=is_tied) if code != CODES["F16"] else _plain(tensor)
        chosen = _fitting(wanted, tensor.shape[0])
        if chosen != wanted:
            fallbacks += 1
            narrow.add(tensor.shape[0])
        types[chosen] += 1
        num_bytes += _num_bytes(tensor, chosen)
    num_weights = max(1, sum(tensor.num_elements for tensor in tensors))
    return Foreseen(
        file_type, num_bytes, 8 * num_bytes / num_weights, dict(types.most_common()), fallbacks, tuple(sorted(narrow))
    )


def _plain(tensor: TensorInfo) -> str:
    return "F32" if len(tensor.shape) < 2 else "F16"


def _wanted(tensor: TensorInfo, file_type: str, num_layers: int, *, is_tied: bool) -> str:
    """llama.cpp's choice before widths are looked at: its `llama_tensor_get_type` for dense models."""
    if len(tensor.shape) < 2 or not tensor.name.endswith("weight"):
        return tensor.type_name
    if file_type == "Q8_0":
        return "Q8_0"
    if tensor.name == "output.weight" or (is_tied and tensor.name == "token_embd.weight"):
        return "Q6_K" if tensor.shape[0] % 256 == 0 else "Q8_0"
    layer = _layer(tensor.name)
    part = tensor.name.split(".")[-2]
    base = _BASE[file_type]
    if part == "attn_qkv":
        return {"Q4_K": "Q5_K", "Q5_K": "Q6_K"}.get(base, base)
    if part in ("attn_v", "ffn_down") and _more_bits(layer, num_layers):
        return "Q6_K"
    return base


def _fitting(wanted: str, width: int) -> str:
    """The type that a row of this width can have."""
    kind = _BLOCKS[wanted]
    if width % kind.block_elements == 0:
        return wanted
    fallback = FALLBACK.get(wanted, "F16")
    return fallback if width % _BLOCKS[fallback].block_elements == 0 else "F16"


def _more_bits(layer: int, num_layers: int) -> bool:
    """llama.cpp's `use_more_bits`: the first and last eighth of the layers, and every third between them."""
    eighth = num_layers // 8
    return layer < eighth or layer >= 7 * num_layers // 8 or (layer - eighth) % 3 == 2


def _layer(name: str) -> int:
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "blk" and parts[1].isdigit() else -1


def _num_bytes(tensor: TensorInfo, type_name: str) -> int:
    kind = _BLOCKS.get(type_name)
    return tensor.num_elements // kind.block_elements * kind.block_bytes if kind else 0
