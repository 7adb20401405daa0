"""torch's variable-length kernel on a real card: joined rows give what each gives alone, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.hardware import read_hardware
from engine.training import joining, varlen_attention
from engine.training.model_loading import load_model

CARD = read_hardware().best_gpu
NEW = CARD is not None and (CARD.compute_capability or (0, 0)) >= (8, 0)
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not NEW, reason="this machine has no NVIDIA card of compute capability 8.0 or newer"),
]
LENGTHS = (5, 300, 1, 77)


@pytest.fixture(autouse=True)
def registered() -> None:
    joining.register()


@pytest.mark.parametrize("family", ["llama", "llama-mha", "qwen2", "gemma3"])
@pytest.mark.parametrize(
    ("dtype", "autocast"), [("bfloat16", "bfloat16"), ("float32", "bfloat16"), ("float16", "none")]
)
def test_the_measurement_at_the_start_finds_nothing_wrong(
    family: str, dtype: str, autocast: str, tiny_model_of: Callable[[str], Path]
) -> None:
    folder = tiny_model_of(family)
    model = load_model(folder, dtype=dtype, attn_implementation=varlen_attention.NAME, device="cuda:0")
    assert joining.unsupported_because(model.config, varlen_attention.NAME) == ""
    assert joining.misjoined_because(model, autocast=autocast) == ""


@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(4, 2, 64), (4, 4, 128), (4, 1, 256)])
@pytest.mark.parametrize("window", [None, 32])
def test_the_kernel_attends_rows_one_by_one(heads: int, kv_heads: int, width: int, window: int | None) -> None:
    numbers = torch.Generator("cuda").manual_seed(5)
    shapes = [(1, heads, sum(LENGTHS), width), *[(1, kv_heads, sum(LENGTHS), width)] * 2]
    options: dict[str, Any] = {"device": "cuda", "dtype": torch.bfloat16, "requires_grad": True}
    given = [torch.randn(shape, generator=numbers, **options) for shape in shapes]
    ends = torch.tensor([0, *LENGTHS], device="cuda").cumsum(0).to(torch.int32)
    told: dict[str, Any] = {"cu_seq_lens_q": ends, "max_length_q": max(LENGTHS), "sliding_window": window}
    got, _ = varlen_attention.varlen_attention(torch.nn.Module(), *given, **told)
    exact = [tensor.detach().float().requires_grad_() for tensor in given]  # float32 goes around the kernel
    expected, _ = varlen_attention.varlen_attention(torch.nn.Module(), *exact, **told)
    torch.testing.assert_close(got.float(), expected, rtol=2e-2, atol=2e-2)
    upstream = torch.randn(got.shape, device="cuda", generator=numbers)
    got.backward(upstream.to(got.dtype))
    expected.backward(upstream)
    for tensor, other in zip(given, exact, strict=True):
        assert tensor.grad is not None
        assert other.grad is not None
        assert float((tensor.grad.float() - other.grad).norm() / other.grad.norm()) < 2e-2
