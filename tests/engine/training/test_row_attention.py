"""Attention of joined rows on a CPU against PyTorch's own, row by row: results, gradients, windows, shared keys."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from engine.training import row_attention as rows
from engine.training.row_attention import BLOCK, row_attention

HEADS, HEAD_DIM, SCALING = 6, 16, 0.3
LENGTHS = (5, 1, BLOCK, 2 * BLOCK + 37, BLOCK + 1)


def inputs(kv_heads: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value laid out as a model hands them over: heads moved before tokens by a view."""
    numbers = torch.Generator().manual_seed(kv_heads)
    made = (torch.randn(1, sum(LENGTHS), heads, HEAD_DIM, generator=numbers) for heads in (HEADS, kv_heads, kv_heads))
    query, key, value = (part.to(dtype).transpose(1, 2).requires_grad_() for part in made)
    return query, key, value


def one_by_one(query: Tensor, key: Tensor, value: Tensor, window: int | None) -> Tensor:
    """Each row by PyTorch's attention, keys repeated for every head."""
    times = HEADS // key.shape[1]
    key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    attended = []
    for q, k, v in zip(query.split(LENGTHS, 2), key.split(LENGTHS, 2), value.split(LENGTHS, 2), strict=True):
        place = torch.arange(q.shape[2])
        distance = place[:, None] - place[None, :]
        seen = (distance >= 0) & (distance < (window or q.shape[2]))
        attended.append(scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=SCALING))
    return torch.cat(attended, 2).transpose(1, 2)


@pytest.mark.parametrize("kv_heads", [1, 3, HEADS])
@pytest.mark.parametrize("window", [None, 1, 40, BLOCK, 2 * BLOCK + 5])
def test_results_and_gradients_are_those_of_each_row_alone(kv_heads: int, window: int | None) -> None:
    given = inputs(kv_heads)
    ours = row_attention(*given, LENGTHS, SCALING, window)
    theirs = one_by_one(*given, window)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    upstream = torch.linspace(-1, 1, ours.numel()).view_as(ours)
    for mine, wanted in zip(
        torch.autograd.grad(ours, given, upstream), torch.autograd.grad(theirs, given, upstream), strict=True
    ):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-5)


def test_in_16_bits_it_is_as_close_as_a_score_rounded_to_16_bits_allows() -> None:
    exact = inputs(3)
    rounded = [part.detach().bfloat16().requires_grad_() for part in exact]
    ours = row_attention(rounded[0], rounded[1], rounded[2], LENGTHS, SCALING, None)
    assert ours.dtype == torch.bfloat16
    wanted = one_by_one(*exact, None)
    assert (ours - wanted).norm() < 0.01 * wanted.norm()
    mine = torch.autograd.grad(ours.float().square().sum(), rounded)
    true = torch.autograd.grad(wanted.square().sum(), exact)
    for got, expected in zip(mine, true, strict=True):
        assert (got - expected).norm() < 0.02 * expected.norm()


def test_autocast_decides_the_type_it_computes_in() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attended = row_attention(*inputs(3), LENGTHS, SCALING, None)
    assert attended.dtype == torch.bfloat16


def test_nothing_is_kept_for_the_backward_pass_but_the_inputs() -> None:
    given = inputs(3)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda part: kept.append(part.data_ptr()) or part, lambda part: part):
        row_attention(*given, LENGTHS, SCALING, None)
    assert kept == [part.data_ptr() for part in given]


def test_a_later_token_changes_nothing_before_it_and_nothing_in_other_rows() -> None:
    query, key, value = (part.detach() for part in inputs(3))
    before = row_attention(query, key, value, LENGTHS, SCALING, None)
    changed = sum(LENGTHS[:3]) + BLOCK + 2  # in the second block of the fourth row
    for part in (query, key, value):
        part[:, :, changed] += 1
    differs = (row_attention(query, key, value, LENGTHS, SCALING, None) != before).any(dim=-1).any(dim=-1)[0]
    end = sum(LENGTHS[:4])
    assert not differs[:changed].any()
    assert differs[changed:end].all()
    assert not differs[end:].any()


def test_rows_without_tokens_are_passed_over() -> None:
    query, key, value = inputs(3)
    with_empty = row_attention(query, key, value, (0, *LENGTHS, 0), SCALING, None)
    assert torch.equal(with_empty, row_attention(query, key, value, LENGTHS, SCALING, None))
    assert list(rows._places((2, 0, 3))) == [slice(0, 2), slice(2, 5)]
