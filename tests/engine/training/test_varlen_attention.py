"""What reaches torch's variable-length kernel, and what goes around it. The kernel itself runs on a card only:
tests/gpu/test_varlen_attention.py compares it there; here plain attention of each row stands at its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn.attention import varlen
from torch.nn.functional import scaled_dot_product_attention
from transformers import Gemma2Config, LlamaConfig

from engine.training import joining, varlen_attention

LENGTHS = (5, 23, 1, 11)
HALF = torch.bfloat16


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The calls that reached the kernel, which takes CPU tensors here."""
    calls: list[dict[str, Any]] = []

    def kernel(query: Any, key: Any, value: Any, ends: Any, ends_k: Any, most: int, most_k: int, **named: Any) -> Any:
        assert torch.equal(ends, ends_k)
        assert most == most_k == int(ends.diff().max())
        assert ends.dtype == torch.int32
        calls.append(named)
        left, right = named["window_size"]
        assert right == 0
        lengths = ends.diff().tolist()
        rows = zip(query.split(lengths), key.split(lengths), value.split(lengths), strict=True)
        return torch.cat([one_row(*row, left, named["scale"]) for row in rows])

    def one_row(query: Any, key: Any, value: Any, left: int, scale: float | None) -> Any:
        place = torch.arange(len(query))
        apart = place[:, None] - place[None, :]
        seen = (apart >= 0) & ((apart <= left) if left >= 0 else True)
        query, key, value = (part.transpose(0, 1) for part in (query, key, value))
        found = scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scale, enable_gqa=True)
        return found.transpose(0, 1)

    monkeypatch.setattr(varlen, "varlen_attn", kernel)
    monkeypatch.setattr(varlen_attention, "DEVICE", "cpu")
    return calls


def tensors(lines: int, length: int, heads: int = 4, kv_heads: int = 2, width: int = 16) -> list[torch.Tensor]:
    numbers = torch.Generator().manual_seed(5)
    shapes = [(lines, heads, length, width), *[(lines, kv_heads, length, width)] * 2]
    return [torch.randn(shape, generator=numbers).to(HALF) for shape in shapes]


def alone(query: Any, key: Any, value: Any, window: int | None, scale: float | None = None) -> torch.Tensor:
    """One row with a dense mask, as transformers lays it out: (1, tokens, heads, head_dim)."""
    place = torch.arange(query.shape[2])
    apart = place[:, None] - place[None, :]
    seen = (apart >= 0) & (apart < (window or len(place)))
    return scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scale, enable_gqa=True).transpose(1, 2)


@pytest.mark.parametrize(("window", "scale"), [(None, None), (8, 0.3)])
def test_joined_rows_are_attended_one_by_one(called: list[Any], window: int | None, scale: float | None) -> None:
    query, key, value = tensors(1, sum(LENGTHS))
    ends = torch.tensor([0, *LENGTHS]).cumsum(0).to(torch.int32)
    told = {"cu_seq_lens_q": ends, "max_length_q": max(LENGTHS), "sliding_window": window, "scaling": scale}
    together, _ = varlen_attention.varlen_attention(torch.nn.Module(), query, key, value, **told)
    parts = zip(query.split(LENGTHS, 2), key.split(LENGTHS, 2), value.split(LENGTHS, 2), strict=True)
    expected = torch.cat([alone(*part, window, scale) for part in parts], 1)
    torch.testing.assert_close(together, expected, rtol=2e-2, atol=2e-2)
    assert called == [{"scale": scale, "window_size": (-1 if window is None else 7, 0), "enable_gqa": True}]


def test_without_ends_every_line_is_a_row(called: list[Any]) -> None:
    query, key, value = tensors(3, 9, kv_heads=4)
    got, _ = varlen_attention.varlen_attention(torch.nn.Module(), query, key, value)
    lines = zip(query.split(1), key.split(1), value.split(1), strict=True)
    torch.testing.assert_close(got, torch.cat([alone(*line, None) for line in lines]), rtol=2e-2, atol=2e-2)
    assert called[0]["enable_gqa"] is False


def test_float32_under_autocast_reaches_the_kernel_in_16_bits(called: list[Any]) -> None:
    with torch.autocast("cpu", dtype=HALF):
        got, _ = varlen_attention.varlen_attention(torch.nn.Module(), *(t.float() for t in tensors(1, 9)))
    assert got.dtype == HALF
    assert called


def test_what_the_kernel_does_not_take_is_computed_without_it(called: list[Any]) -> None:
    """float32, heads wider than 256 or no multiple of 8, dropout: rows one by one. Padding and a cache: the mask."""
    ends = torch.tensor([0, 4, 9], dtype=torch.int32)
    for width, dtype in ((16, torch.float32), (264, HALF), (12, HALF)):
        query, key, value = (t.to(dtype) for t in tensors(1, 9, width=width))
        got, _ = varlen_attention.varlen_attention(torch.nn.Module(), query, key, value, cu_seq_lens_q=ends)
        parts = zip(query.split((4, 5), 2), key.split((4, 5), 2), value.split((4, 5), 2), strict=True)
        expected = torch.cat([alone(*part, None) for part in parts], 1)
        torch.testing.assert_close(got, expected, rtol=2e-2, atol=2e-2)
    query, key, value = tensors(2, 9)
    mask = torch.ones(9, 9, dtype=torch.bool).tril().repeat(2, 1, 1, 1)
    got, _ = varlen_attention.varlen_attention(torch.nn.Module(), query, key, value, mask)
    lines = zip(query.split(1), key.split(1), value.split(1), strict=True)
    torch.testing.assert_close(got, torch.cat([alone(*line, None) for line in lines]), rtol=2e-2, atol=2e-2)
    last, _ = varlen_attention.varlen_attention(torch.nn.Module(), query[:, :, -1:], key, value)
    torch.testing.assert_close(last, got[:, -1:], rtol=2e-2, atol=2e-2)
    assert called == []


def test_joined_rows_of_several_lines_are_a_mistake(called: list[Any]) -> None:
    ends = torch.tensor([0, 4, 9], dtype=torch.int32)
    with pytest.raises(ValueError, match="in one line, not in 2"):
        varlen_attention.varlen_attention(torch.nn.Module(), *tensors(2, 9), cu_seq_lens_q=ends)
    assert called == []


def test_models_whose_heads_are_too_wide_or_capped_are_not_joined() -> None:
    wide = LlamaConfig(hidden_size=64, num_attention_heads=2, head_dim=512)
    assert "heads of 256 numbers, and the model's have 512" in joining.unsupported_because(wide, varlen_attention.NAME)
    assert joining.unsupported_because(wide, "finetui_segments") == ""
    assert joining.unsupported_because(LlamaConfig(), varlen_attention.NAME) == ""
    assert "caps attention scores" in joining.unsupported_because(Gemma2Config(), varlen_attention.NAME)
