"""What a card's kernels allocate, told from fake CPU tensors: attention, hidden temporaries, fused softmax.

Sizes are those of PyTorch 2.13's CUDA kernels. Not here: autocast (`cuda_autocast`), 4-bit layers (`four_bit`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers.integrations.sdpa_attention import repeat_kv, use_gqa_in_sdpa
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from engine.training import joining, varlen_attention
from engine.training.dry_run.tracking import HiddenBytes

_ATEN = torch.ops.aten
_ROW_PADDING, _HEAD_BLOCK = 128, 32
"""mha_varlen_bwd in torch's flash_attn/flash_api.cpp rounds its float32 accumulators up to these."""


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _softmax_backward(args: tuple[Any, ...], _named: dict[str, Any], _output: Any) -> list[int]:
    """grad x output is held while it is summed."""
    return [_bytes(args[0])]


def _flash_backward(args: tuple[Any, ...], _named: dict[str, Any], _output: Any) -> list[int]:
    """A float32 accumulator for dQ, the row sums, and under grouped queries dK and dV for every head."""
    query, key = args[1], args[2]
    blocks = [query.numel() * 4, query.numel() // query.shape[-1] * 4]
    if key.shape[1] != query.shape[1]:
        blocks += [_bytes(key) // key.shape[1] * query.shape[1]] * 2
    return blocks


def _efficient_backward(args: tuple[Any, ...], _named: dict[str, Any], _output: Any) -> list[int]:
    """A float32 accumulator for dQ."""
    return [args[1].numel() * 4]


def _varlen_backward(args: tuple[Any, ...], _named: dict[str, Any], _output: Any) -> list[int]:
    """As above, with 128 tokens more for each row, and whole blocks of 32 numbers in a head."""
    _, query, key, _, _, _, ends, *_ = args
    _, heads, width = query.shape
    tokens = query.shape[0] + _ROW_PADDING * (ends.shape[0] - 1)
    blocks = [tokens * heads * -(-width // _HEAD_BLOCK) * _HEAD_BLOCK * 4, tokens * heads * 4]
    if key.shape[1] != heads:
        blocks += [_bytes(key) // key.shape[1] * heads] * 2
    return blocks


HIDDEN_BYTES: dict[Any, HiddenBytes] = {
    _ATEN._softmax_backward_data.default: _softmax_backward,
    _ATEN._scaled_dot_product_flash_attention_backward.default: _flash_backward,
    _ATEN._scaled_dot_product_efficient_attention_backward.default: _efficient_backward,
    torch.ops.torch_attn._varlen_attn_backward.default: _varlen_backward,
}


class _SafeSoftmax(torch.autograd.Function):
    """PyTorch's _safe_softmax as its math attention calls it: rows with nothing to see become zeros."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor) -> torch.Tensor:
        shares = torch.softmax(scores, -1)
        empty = scores.eq(float("-inf")).all(-1, keepdim=True)
        result = torch.where(empty, torch.zeros((), dtype=scores.dtype), shares)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> Any:
        (result,) = ctx.saved_tensors
        return _ATEN._softmax_backward_data(grad_outputs[0], result, -1, result.dtype)


class _FusedHalfSoftmax(torch.autograd.Function):
    """softmax(float16, dtype=float32) on a card: one kernel reads halves and writes floats, without a float copy."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor) -> torch.Tensor:
        result = torch.empty_like(scores, dtype=torch.float32)
        ctx.save_for_backward(result)
        ctx.dtype = scores.dtype
        return result

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> Any:
        (result,) = ctx.saved_tensors
        return _ATEN._softmax_backward_data(grad_outputs[0], result, -1, ctx.dtype)


def fused_half_softmax(scores: torch.Tensor) -> torch.Tensor:
    """float32 shares of float16 `scores` along one dimension, allocated as a card does."""
    result: torch.Tensor = _FusedHalfSoftmax.apply(scores)  # type: ignore[no-untyped-call]
    return result


@contextmanager
def card_attention(kernel: str) -> Iterator[None]:
    """transformers' sdpa runs `kernel`: "flash", "efficient" or "math"; or its varlen_attn "varlen"."""

    def attention(
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        **named: Any,
    ) -> tuple[torch.Tensor, None]:
        if kernel == "varlen" and attention_mask is None and query.shape[-1] <= varlen_attention.LARGEST_HEAD:
            query, key, value = _computed(query, key, value)
            rows = named["cu_seq_lens_q"], named["max_length_q"]
            return varlen_attention.of_rows(query, key, value, *rows, scaling, named.get("sliding_window")), None
        return _attend(kernel, module, query, key, value, attention_mask, scaling), None

    joining.register()
    name = varlen_attention.NAME if kernel == "varlen" else "sdpa"
    before = ALL_ATTENTION_FUNCTIONS[name]
    ALL_ATTENTION_FUNCTIONS[name] = attention
    try:
        yield
    finally:
        ALL_ATTENTION_FUNCTIONS[name] = before


def _computed(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """In autocast's type, where it is on."""
    if not torch.is_autocast_enabled("cpu"):
        return list(tensors)
    return [tensor.to(torch.get_autocast_dtype("cpu")) for tensor in tensors]


def _attend(
    kernel: str,
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
) -> torch.Tensor:
    query, key, value = _computed(query, key, value)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if mask is not None or query.shape[-1] > 256:
        kernel = "efficient" if kernel in ("flash", "varlen") else kernel
    groups = getattr(module, "num_key_value_groups", 1)
    grouped = kernel == "flash" and use_gqa_in_sdpa(mask, key, value)
    if groups > 1 and not grouped:
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    attended: torch.Tensor
    if kernel == "flash":
        attended = _ATEN._scaled_dot_product_flash_attention(query, key, value, 0.0, True, False, scale=scale)[0]
    elif kernel == "efficient":
        attended = _efficient(query, key, value, mask, scale)
    else:
        attended = _math(query, key, value, mask, scale)
    return attended.transpose(1, 2).contiguous()


def _additive(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """A boolean mask as sdpa adds it to the scores."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(mask.logical_not(), float("-inf"))


def _efficient(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    bias = _additive(mask, query.dtype)
    if bias is not None:
        if over := bias.shape[-1] % 8:  # the kernel wants aligned rows: sdpa copies the bias into wider ones
            bias = torch.nn.functional.pad(bias, (0, 8 - over))[..., : bias.shape[-1]]
        bias = bias.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    causal = mask is None
    result: torch.Tensor = _ATEN._scaled_dot_product_efficient_attention(
        query, key, value, bias, True, 0.0, causal, scale=scale
    )[0]
    return result


def _math(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    dtype, length = query.dtype, query.shape[2]
    bias = _additive(mask, dtype)
    query, key, value = query.float(), key.float(), value.float()
    with torch.autocast("cpu", enabled=False):
        if bias is None:
            below = torch.ones(length, length, dtype=torch.bool).tril()
            bias = torch.zeros(length, length).masked_fill_(below.logical_not(), float("-inf"))
        root = scale**0.5
        scores = torch.matmul(query * root, key.transpose(-2, -1) * root)
        scores.add_(bias.float())
        shares: torch.Tensor = _SafeSoftmax.apply(scores)  # type: ignore[no-untyped-call]
        del scores
        attended: torch.Tensor = torch.matmul(shares, value).to(dtype)
        shares.to(dtype)  # the kernel's second result, which sdpa throws away
        return attended
