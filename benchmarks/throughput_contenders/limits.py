"""How far the device is from its limit: useful work of a step, and the rate of its matrix products.

`python -m benchmarks.throughput_contenders.limits` prints the bf16 rate of this process's threads, FLOP/s.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

SIZE = 2048
SECONDS = 3.0


def useful_flop(config: Mapping[str, Any], rows: Iterable[tuple[int, int]], r: int) -> float:
    """FLOP that LoRA training of `rows` needs at least; each is (tokens, labelled tokens).

    2 per weight and token forward (Kaplan et al. 2020, table 1), as much again for the gradient of the activations;
    the frozen weights want none of their own, the adapter's do. The head counts at labelled tokens only, attention
    as causal: 2 x 2 x hidden_size per pair of tokens and layer forward, twice that backward (PaLM, appendix B).
    Neither recomputation nor padding is useful.
    """
    hidden, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    head_dim = config.get("head_dim") or hidden // config["num_attention_heads"]
    queries, keys = head_dim * config["num_attention_heads"], head_dim * config["num_key_value_heads"]
    shapes = [(hidden, queries), (hidden, keys), (hidden, keys), (queries, hidden)]
    shapes += [(hidden, inner), (hidden, inner), (inner, hidden)]
    weights = layers * sum(wide * high for wide, high in shapes)
    adapter = layers * r * sum(wide + high for wide, high in shapes)
    total = 0.0
    for tokens, labelled in rows:
        total += (4 * weights + 6 * adapter) * tokens
        total += 4 * hidden * config["vocab_size"] * labelled
        total += 12 * layers * queries * tokens * (tokens + 1) / 2
    return total


def matmul_rate() -> float:
    """FLOP per second of bfloat16 matrix products of 2048 x 2048 (8192 on a card), median of what was timed."""
    import torch

    cuda = torch.cuda.is_available()
    size = 4 * SIZE if cuda else SIZE
    left, right = (torch.randn(size, size, dtype=torch.bfloat16, device="cuda" if cuda else "cpu") for _ in range(2))
    left @ right
    rates: list[float] = []
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        if cuda:
            torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(20 if cuda else 1):
            left @ right
        if cuda:
            torch.cuda.synchronize()
        rates.append((20 if cuda else 1) * 2 * size**3 / (time.perf_counter() - started))
    return sorted(rates)[len(rates) // 2]


if __name__ == "__main__":
    print(matmul_rate())
