"""An adapter's change added to the base's weights, tensor by tensor, computed in float32.

    LoRA    W' = W + s B A            s = alpha / r, with rsLoRA alpha / sqrt(r)
    DoRA    W' = m (W + s B A) / ||W + s B A||,  the norm of each row

The same as PEFT's `merge_and_unload`, which holds the whole model in memory; a test compares the two. What cannot be
mapped to the base's files by name (`UnknownLayoutError`) is left to PEFT. Not here: files beside the weights, checks.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.exporters.tensor_files import DTYPES, Entry, entries, read, write_index, writing

PREFIX = "base_model.model."
PLAIN = {"peft_type": "LORA", "use_qalora": False, "use_bdlora": None, "layer_replication": None, "lora_bias": False}
"""What an adapter_config.json has to say, or not to say, for the formulas above to hold."""
BLOCK_ELEMENTS = 1 << 24
"""Elements worked out at once: 64 MiB per float32 temporary."""


class UnknownLayoutError(Exception):
    """The adapter's tensors cannot be matched with the base's by name; `why` for the note."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one weight. `kind` is lora, dora or replace; matrices lie in the adapter's file."""

    kind: str
    a: Entry | None = None
    b: Entry | None = None
    magnitude: Entry | None = None
    value: Entry | None = None
    scale: float = 1.0
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """The files to write. `untied`: the head was trained apart from the embedding it shared."""

    tensors: dict[str, Entry]
    """Every tensor of the merged model and the base's entry it starts from."""
    changes: dict[str, Change]
    files: dict[str, str]
    """Tensor -> name of the file it goes to."""
    untied: bool

    @property
    def num_bytes(self) -> int:
        return sum(entry.num_bytes for entry in self.tensors.values())


def planned_merge(base: Path, adapter: Path) -> Merge:
    """Which tensor is changed by what. Raises UnknownLayoutError, ModelError for files that cannot be read."""
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    odd = [name for name, value in PLAIN.items() if (config.get(name) or None) != (value or None)]
    if odd:
        raise UnknownLayoutError(f"the adapter has {odd[0]} = {config.get(odd[0])}")
    tensors, changes = entries(base), changes_of(entries(adapter), config)
    untied = False
    for target in changes:
        if target in tensors:
            continue
        embedding = next((name for name in tensors if name.endswith("embed_tokens.weight")), None)
        if target != "lm_head.weight" or embedding is None:
            raise UnknownLayoutError(f"the base has no tensor {target}")
        tensors[target], untied = tensors[embedding], True
    for target, change in changes.items():
        _fits(target, change, tensors[target])
    files = {name: entry.file.name for name, entry in tensors.items()}
    return Merge(tensors, changes, files, untied)


def changes_of(found: Mapping[str, Entry], config: Mapping[str, Any]) -> dict[str, Change]:
    """The base's tensors that an adapter changes. Raises UnknownLayoutError for tensors that mean something else."""
    parts: dict[str, dict[str, Entry]] = {}
    for name, entry in found.items():
        match = re.fullmatch(
            rf"{re.escape(PREFIX)}(.+?)\.(lora_A|lora_B|lora_magnitude_vector)(\.default)?(\.weight)?", name
        )
        if match:
            parts.setdefault(f"{match[1]}.weight", {})[match[2]] = entry
        elif name.startswith(PREFIX) and "lora_" not in name and "token_adapter" not in name:
            plain = name.removeprefix(PREFIX).replace(".modules_to_save.default", "").replace(".modules_to_save", "")
            parts[plain] = {"value": entry}
        else:
            raise UnknownLayoutError(f"the adapter has a tensor {name}")
    return {target: _change(target, each, config) for target, each in parts.items()}


def _change(target: str, parts: Mapping[str, Entry], config: Mapping[str, Any]) -> Change:
    if "value" in parts:
        return Change("replace", value=parts["value"])
    if not {"lora_A", "lora_B"} <= parts.keys():
        raise UnknownLayoutError(f"the adapter has half of what changes {target}")
    module = target.removesuffix(".weight")
    rank = parts["lora_A"].shape[0]
    alpha = _by_pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    magnitude = parts.get("lora_magnitude_vector")
    return Change(
        "lora" if magnitude is None else "dora",
        parts["lora_A"],
        parts["lora_B"],
        magnitude,
        scale=scale,
        transposed=bool(config.get("fan_in_fan_out")),
    )


def _by_pattern(patterns: Mapping[str, float] | None, module: str, otherwise: float) -> float:
    """PEFT's rule: the first pattern that is the module's name or ends it behind a dot."""
    for pattern, value in (patterns or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            return float(value)
    return float(otherwise)


def _fits(target: str, change: Change, entry: Entry) -> None:
    """Raises UnknownLayoutError where the shapes do not allow the change."""
    if change.value is not None:
        shape = change.value.shape
    else:
        assert change.a is not None
        assert change.b is not None
        if len(change.a.shape) != 2 or len(change.b.shape) != 2:
            raise UnknownLayoutError(f"{target} is no matrix")
        shape = (change.b.shape[0], change.a.shape[1])
        if change.transposed:
            shape = (shape[1], shape[0])
    if shape != entry.shape or entry.dtype not in DTYPES:
        raise UnknownLayoutError(f"{target} has shape {entry.shape}, its change {shape}")


def write_merged(merge: Merge, folder: Path, progress: Callable[[int, int], None]) -> None:
    """Write the weights file by file; `progress` is told (tensors done, all)."""
    by_file: dict[str, dict[str, Entry]] = {}
    for name, file in merge.files.items():
        by_file.setdefault(file, {})[name] = merge.tensors[name]
    done = 0
    for file, tensors in by_file.items():
        with writing(folder / file, tensors) as writer:
            for name, entry in tensors.items():
                if name in merge.changes:
                    writer.put(name, changed(read(entry), merge.changes[name]))
                else:
                    writer.copy(name)
                done += 1
                progress(done, len(merge.tensors))
    if len(by_file) > 1:
        write_index(folder, merge.files, merge.num_bytes)


def changed(weight: Any, change: Change) -> Any:
    """The weight after its change, in its own type; worked out in float32, a block of rows at a time."""
    import torch

    if change.value is not None:
        return read(change.value).to(weight.dtype)
    assert change.a is not None
    assert change.b is not None
    a, b = read(change.a).float(), read(change.b).float()
    magnitude = read(change.magnitude).float().flatten() if change.magnitude is not None else None
    rows = weight.t() if change.transposed else weight
    step = max(1, BLOCK_ELEMENTS // max(1, rows.shape[1]))
    for start in range(0, rows.shape[0], step):
        block = slice(start, start + step)
        value = rows[block].float() + (b[block] @ a) * change.scale
        if magnitude is not None:
            value = value * (magnitude[block] / torch.linalg.norm(value, dim=1)).unsqueeze(1)
        rows[block] = value.to(weight.dtype)
    return weight
