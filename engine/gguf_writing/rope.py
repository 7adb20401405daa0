"""Rotary positions: one shape for the ways in which config.json has said them, and llama.cpp's factors per frequency.

Not here: writing them (`hyperparameters` the scalars, `tensors` the factors).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KNOWN = ("default", "linear", "yarn", "llama3", "longrope")
ONLY = {"llama3": ("llama",), "longrope": ("phi3",)}
"""Kinds whose factors llama.cpp reads for these architectures only."""


@dataclass(frozen=True, slots=True)
class Rope:
    """`full` are the parameters of layers that see everything; `local_theta` the base of those with a window.

    `full` holds rope_theta, rope_type and what the type needs (factor, low_freq_factor, long_factor, …).
    """

    full: Mapping[str, Any]
    local_theta: float | None = None

    @property
    def kind(self) -> str:
        kind = str(self.full.get("rope_type") or self.full.get("type") or "default").lower()
        return "longrope" if kind == "su" else kind

    @property
    def theta(self) -> float:
        return float(self.full.get("rope_theta") or 10000.0)


def rope_of(text: Mapping[str, Any]) -> Rope:
    """Read `rope_parameters` (transformers 5), or `rope_theta`, `rope_scaling` and `rope_local_base_freq` before it."""
    stated = text.get("rope_parameters")
    if isinstance(stated, Mapping) and isinstance(stated.get("full_attention"), Mapping):
        local = stated.get("sliding_attention")
        local_theta = local.get("rope_theta") if isinstance(local, Mapping) else None
        return Rope(stated["full_attention"], None if local_theta is None else float(local_theta))
    if isinstance(stated, Mapping):
        shared = {"partial_rotary_factor": text.get("partial_rotary_factor"), "rope_theta": text.get("rope_theta")}
        full = {**{key: value for key, value in shared.items() if value is not None}, **stated}
    else:
        scaling = text.get("rope_scaling")
        full = {"rope_theta": text.get("rope_theta"), **(scaling if isinstance(scaling, Mapping) else {})}
        if text.get("partial_rotary_factor") is not None:
            full["partial_rotary_factor"] = text["partial_rotary_factor"]
    if "original_max_position_embeddings" not in full and text.get("original_max_position_embeddings"):
        full["original_max_position_embeddings"] = text["original_max_position_embeddings"]
    local_theta = text.get("rope_local_base_freq")
    return Rope(full, None if local_theta is None else float(local_theta))


def unknown_rope(rope: Rope, architecture: str) -> str | None:
    """What of the rotary positions cannot be expressed for an architecture of GGUF, None when all can."""
    if rope.kind not in KNOWN:
        return f"its positions are scaled by {rope.kind!r}, which is not one of {', '.join(KNOWN)}"
    if architecture not in ONLY.get(rope.kind, (architecture,)):
        return f"its positions are scaled by {rope.kind!r}, which llama.cpp reads for other architectures only"
    return None


def frequency_factors(rope: Rope, rotary_dimensions: int) -> list[float]:
    """Llama 3's divisors, one for each pair of rotary dimensions, as `LlamaModel` of llama.cpp's converter has them."""
    factor = float(rope.full.get("factor", 8.0))
    low = float(rope.full.get("low_freq_factor", 1.0))
    high = float(rope.full.get("high_freq_factor", 4.0))
    trained = float(rope.full.get("original_max_position_embeddings", 8192))
    factors = []
    for place in range(0, rotary_dimensions, 2):
        wavelength = 2 * math.pi * rope.theta ** (place / rotary_dimensions)
        if wavelength < trained / high:
            factors.append(1.0)
        elif wavelength > trained / low:
            factors.append(factor)
        else:
            smooth = (trained / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors


def longrope_attention_factor(rope: Rope, max_positions: int) -> float:
    """What attention is multiplied by beyond the context it was trained on."""
    stated = rope.full.get("attention_factor")
    if stated is not None:
        return float(stated)
    trained = float(rope.full["original_max_position_embeddings"])
    scale = max_positions / trained
    return math.sqrt(1 + math.log(scale) / math.log(trained)) if scale > 1.0 else 1.0
