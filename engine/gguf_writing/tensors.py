"""A model folder's tensors on their way into a GGUF file: named, arranged and converted one at a time.

Read straight from the safetensors files by upstream's reader, so that nothing needs torch and never more than one
tensor is in memory. Not here: the rules of the architectures (`families`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ModelError
from engine.gguf_writing.families import Family
from engine.gguf_writing.hyperparameters import rotary_dimensions
from engine.gguf_writing.rope import frequency_factors, rope_of
from engine.model_folder import WEIGHT_INDEX, check_folder

if TYPE_CHECKING:
    import numpy as np

FILE_TYPES = ("F16", "BF16", "F32")
CHUNK_ELEMENTS = 16 * 2**20
"""Numbers converted at once: 64 MiB as float32."""
NOT_TEXT = ("vision_tower.", "multi_modal_projector.", "vision_model.")
LEFT_OUT = (".rotary_emb.inv_freq",)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the file to be. `shape` is the outermost dimension first, `kind` F16, BF16 or F32.

    `source` is upstream's LocalTensor, or the numbers themselves.
    """

    name: str
    origin: str
    shape: tuple[int, ...]
    kind: str
    source: Any
    heads: int = 0
    """Heads whose rows are put into Meta's order; 0 leaves them."""
    shift: float = 0.0

    @property
    def num_bytes(self) -> int:
        size = 4 if self.kind == "F32" else 2
        for length in self.shape:
            size *= length
        return size

    def numbers(self) -> np.ndarray:
        """The data as it stands in the file. Raises ModelError for what its type cannot hold."""
        import numpy as np

        if isinstance(self.source, list):
            return np.array(self.source, dtype=np.float32)
        raw = _stored(self.source)
        if self.heads:
            raw = _in_pairs(raw, self.heads)
        if raw.ndim < 2:
            return self._converted(raw)
        made = np.empty(self.shape, dtype=np.float32 if self.kind == "F32" else np.uint16)
        rows = max(1, CHUNK_ELEMENTS // max(1, raw[0].size))
        for start in range(0, raw.shape[0], rows):
            made[start : start + rows] = self._converted(raw[start : start + rows])
        return made

    def _converted(self, raw: np.ndarray) -> np.ndarray:
        import numpy as np
        from gguf import GGMLQuantizationType, quants

        values = raw
        if raw.dtype == np.uint16:  # bfloat16: the upper half of a float32
            values = (raw.astype(np.uint32) << 16).view(np.float32)
        values = values.astype(np.float32, copy=False)
        if self.shift:
            values = values + np.float32(self.shift)
        if not np.isfinite(values).all():
            raise _not_finite(self.origin)
        if self.kind == "F32":
            return np.asarray(values)
        if self.kind == "BF16":
            packed = quants.quantize(np.ascontiguousarray(values), GGMLQuantizationType.BF16)
            return np.asarray(packed.view(np.uint16))
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.isfinite(half).all():
            raise ModelError(
                f"{self.origin} holds {float(np.abs(values).max()):.3g}, beyond what F16 can hold (65,504).",
                means="The file would hold infinity there, and its answers would be noise.",
                remedy="Write the file as BF16, which has the range of the original, or as F32.",
            )
        return half.view(np.uint16)


def tensors_of(folder: Path, family: Family, text: Mapping[str, Any], file_type: str) -> list[Tensor]:
    """Every tensor of the GGUF file. Vectors stay F32, as llama.cpp wants them.

    Raises ModelError for a folder that is not whole, and for a tensor that the architecture has no place for.
    """
    import gguf

    check_folder(folder)
    arch = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[family.gguf]
    names = gguf.get_tensor_name_map(arch, text["num_hidden_layers"])
    found = []
    for origin, source in sorted(_sources(folder)):
        if origin.endswith(LEFT_OUT) or any(part in origin for part in NOT_TEXT):
            continue
        plain = origin.replace("language_model.", "")
        if not plain.startswith(("model.", "lm_head.")):
            plain = f"model.{plain}"
        if plain == "lm_head.weight" and (family.head_is_embedding or text.get("tie_word_embeddings")):
            continue
        name = names.get_name(plain, try_suffixes=(".weight", ".bias"))
        if name is None or source.dtype not in ("F32", "F16", "BF16"):
            raise _no_place(origin, source, family)
        found.append(_placed(name, origin, plain, source, family, text, file_type))
    return [*found, *_rope_factors(text)]


def _placed(
    name: str, origin: str, plain: str, source: Any, family: Family, text: Mapping[str, Any], file_type: str
) -> Tensor:
    heads = 0
    if family.permutes and ".q_proj." in plain:
        heads = text["num_attention_heads"]
    elif family.permutes and ".k_proj." in plain:
        heads = text.get("num_key_value_heads") or text["num_attention_heads"]
    shift = family.norm_shift if plain.endswith("norm.weight") else 0.0
    kind = file_type if len(source.shape) > 1 else "F32"
    return Tensor(name, origin, tuple(source.shape), kind, source, heads, shift)


def _rope_factors(text: Mapping[str, Any]) -> Iterator[Tensor]:
    rope = rope_of(text)
    wanted = rotary_dimensions(text) // 2
    if rope.kind == "llama3":
        factors = frequency_factors(rope, rotary_dimensions(text))
        yield Tensor("rope_freqs.weight", "rope_parameters", (wanted,), "F32", factors)
    if rope.kind == "longrope":
        for name, key in (("rope_factors_long", "long_factor"), ("rope_factors_short", "short_factor")):
            factors = [float(value) for value in rope.full[key]]
            if len(factors) != wanted:
                raise ModelError(
                    f"config.json gives {len(factors)} values as {key}; {wanted} are needed.",
                    means="They scale the positions, one for each pair of rotary dimensions.",
                    remedy="Compare config.json with the original model's.",
                )
            yield Tensor(f"{name}.weight", "rope_parameters", (wanted,), "F32", factors)


def _sources(folder: Path) -> Iterator[tuple[str, Any]]:
    from gguf.utility import SafetensorsLocal

    index = folder / WEIGHT_INDEX
    if not index.is_file():
        yield from SafetensorsLocal(folder / "model.safetensors").tensors.items()
        return
    weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    for shard in sorted(set(weight_map.values())):
        for name, tensor in SafetensorsLocal(folder / shard).tensors.items():
            if weight_map.get(name) == shard:
                yield name, tensor


def _stored(source: Any) -> np.ndarray:
    """The numbers as they lie in the safetensors file, mapped, not read; bfloat16 as its 16 bits."""
    import numpy as np

    kind = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[source.dtype]
    return np.asarray(source.mmap_bytes()).view(np.dtype(kind)).reshape(source.shape)


def _in_pairs(numbers: np.ndarray, heads: int) -> np.ndarray:
    """Rows from transformers' order (first halves, then second halves) to neighbours, head by head."""
    halves = numbers.reshape(heads, 2, numbers.shape[0] // heads // 2, *numbers.shape[1:])
    return halves.swapaxes(1, 2).reshape(numbers.shape)


def _not_finite(origin: str) -> ModelError:
    return ModelError(
        f"{origin} holds numbers that are not finite.",
        means="The trained weights are damaged; a file of them would answer noise.",
        remedy="Look at the run's loss (`finetui report`), and resume from an earlier checkpoint.",
    )


def _no_place(origin: str, source: Any, family: Family) -> ModelError:
    return ModelError(
        f"The tensor {origin} ({source.dtype}, {' x '.join(map(str, source.shape))}) has no place in a GGUF file "
        f"of the architecture {family.gguf!r}.",
        means="It would be left out, and the file would answer otherwise than the model does.",
        remedy="Export the merged model instead, or train without the module it belongs to.",
    )
