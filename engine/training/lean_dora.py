"""DoRA for linear layers with the mathematics of PEFT's and a fraction of its memory.

    y = m * (W x + s B A x) + bias,   m = magnitude / ||W + s B A||   (norm of each row, a constant to the gradient)

For each layer PEFT 0.21 builds an identity matrix of in x in to multiply A by, then B A, s B A and W + s B A at
full size in the input's dtype. Here the norm is taken over blocks of rows, and what stays until the backward pass
is the base layer's result and the r numbers per token that A gave: the rest is worked out again, block by block.
The result keeps the base layer's dtype, where under CUDA autocast PEFT's float32 magnitude widens the whole
residual stream. Parameters, their names and merging stay PEFT's own. Not here: DoRA on embeddings and
convolutions, which PEFT keeps, and the choice of DoRA.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit
from peft.tuners.lora import dora
from peft.tuners.lora.layer import LoraLayer
from peft.tuners.lora.variants import DoraLinearVariant
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from engine.errors import ModelError

BLOCK_ELEMENTS = 1 << 21
"""Elements of a block of rows or of tokens: 8 MiB per float32 temporary, and still few kernel launches."""


def install(model: Any) -> int:
    """Make every linear DoRA layer of a PEFT model lean, in place. Returns how many layers are lean afterwards.

    A second call is harmless; an adapter added later needs one. Raises ModelError, with no layer changed, when a
    base weight is neither a plain matrix nor bitsandbytes 4-bit.
    """
    layers = [(name, layer) for name, layer in model.named_modules() if _has_linear_dora(layer)]
    for name, layer in layers:
        _refuse_unknown_weight(name, layer.get_base_layer())
    for _, layer in layers:
        for adapter, variant in layer.lora_variant.items():
            if type(variant) is DoraLinearVariant:
                layer.lora_variant[adapter] = LeanDoraVariant()
    return len(layers)


def _has_linear_dora(layer: nn.Module) -> bool:
    # By exact type: PEFT's variant for embeddings is a subclass of the one for linear layers.
    variants = layer.lora_variant.values() if isinstance(layer, LoraLayer) else ()
    return any(type(variant) in (DoraLinearVariant, LeanDoraVariant) for variant in variants)


def _refuse_unknown_weight(name: str, base_layer: nn.Module) -> None:
    weight = getattr(base_layer, "weight", None)
    is_matrix = isinstance(weight, Tensor) and weight.is_floating_point() and weight.ndim == 2
    foreign = type(weight).__module__.startswith(("torchao.", "torch.distributed."))
    if isinstance(base_layer, Linear4bit) or (is_matrix and not foreign):
        return
    raise ModelError(
        f"Lean DoRA does not know the weight of {name}, a {type(base_layer).__module__}.{type(base_layer).__name__}.",
        means="It computes with plain matrices and bitsandbytes 4-bit weights; this is quantized otherwise or sharded.",
        remedy="Set adapter.lean_dora = false for PEFT's own DoRA, or adapter.use_dora = false for plain LoRA.",
    )


class LeanDoraVariant(DoraLinearVariant):
    """What a LoRA layer calls for its DoRA adapter. Only the forward pass differs from PEFT's."""

    @staticmethod
    def forward(module: Any, active_adapter: str, x: Tensor, result: Tensor, **_: Any) -> Tensor:
        """The layer's output in `result`'s dtype and shape (..., out).

        x (..., in) is the input, `result` the base layer's output, bias included.
        """
        dropout = module.lora_dropout[active_adapter]
        drops = module.training and not isinstance(dropout, nn.Identity)
        x = dropout(x) if drops else x
        low_rank = module.lora_A[active_adapter](x)
        norm, dropped = _from_base_weight(module, active_adapter, low_rank.dtype, x if drops else None)
        norm = norm.to(x.dtype)  # as PEFT rounds it: the magnitude began as such a norm, and their ratio as one
        output: Tensor = _Rescale.apply(  # type: ignore[no-untyped-call]
            result,
            dropped,
            None if drops else module.get_base_layer().bias,
            low_rank,
            module.lora_B[active_adapter].weight,
            module.lora_magnitude_vector[active_adapter].weight,
            norm,
            module.scaling[active_adapter],
        )
        return output


def _from_base_weight(module: Any, name: str, dtype: torch.dtype, x: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """All that needs W, so that a dequantized one lives no longer than this call: the norms, and x W^T if asked for.

    `dtype` is the one that the adapter's products are computed in. x is the input after dropout: the base layer saw
    it before, so PEFT's update multiplies it by W anew.
    """
    base_layer, dora_layer = module.get_base_layer(), module.lora_magnitude_vector[name]
    weight = _whole_weight(base_layer, dora_layer.fan_in_fan_out)
    norm = row_norms(
        weight, module.lora_A[name].weight.to(dtype), module.lora_B[name].weight.to(dtype), module.scaling[name]
    )
    if x is None:
        return norm, None
    if weight.requires_grad or (weight.dtype == dtype and not isinstance(base_layer, Linear4bit)):
        return norm, linear(x, weight)  # keeps the parameter itself, not a copy
    return norm, _FrozenProduct.apply(x, weight, base_layer, dora_layer.fan_in_fan_out, dtype)  # type: ignore[no-untyped-call]


def _whole_weight(base_layer: Any, fan_in_fan_out: bool) -> Tensor:
    """W (out, in), dequantized where it has to be. A view of the parameter otherwise."""
    # Looked up in PEFT's module at each call, so that a replacement there (a dry run on fake tensors) is honoured.
    weight: Tensor = dora.dequantize_module_weight(base_layer)
    # Not PEFT's `transpose`: it makes a new parameter, whose full-size gradient would be computed for nobody.
    return weight.T if fan_in_fan_out else weight


@torch.no_grad()
def row_norms(weight: Tensor, A: Tensor, B: Tensor, scaling: float) -> Tensor:  # noqa: N803
    """||W + scaling * B A|| of each row, (out,), in float32 or wider. W (out, in), A (r, in), B (out, r)."""
    wide = _at_least_float32(A.dtype)
    norms = torch.empty(weight.shape[0], dtype=wide, device=weight.device)
    for rows in blocks(*weight.shape):
        total = (B[rows] @ A).to(wide).mul_(scaling).add_(weight[rows])
        torch.linalg.vector_norm(total, dim=1, out=norms[rows])
        del total  # before the next block, not after it
    return norms


def blocks(num_rows: int, row_size: int) -> Iterator[slice]:
    """Slices of rows, `BLOCK_ELEMENTS` at a time. Each block's temporaries go before the next one's come, so that a dry
    run looks at the first alone."""
    step = max(1, BLOCK_ELEMENTS // max(1, row_size))
    return (slice(start, start + step) for start in range(0, num_rows, step))


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


class _FrozenProduct(torch.autograd.Function):
    """x W^T with a frozen W that is quantized or in another dtype: dequantized and cast again in the backward pass.

    A cast that widens W goes block by block. Another is of all of W, as sums over blocks would round more often.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, base_layer: Any, fan_in_fan_out: bool, dtype: torch.dtype
    ) -> Tensor:
        ctx.base_layer, ctx.fan_in_fan_out, ctx.x_dtype = base_layer, fan_in_fan_out, x.dtype
        x = x.to(dtype)
        if dtype.itemsize <= weight.dtype.itemsize:
            return linear(x, weight.to(dtype))
        product = x.new_empty(*x.shape[:-1], weight.shape[0])
        for rows in blocks(*weight.shape):
            product[..., rows] = linear(x, weight[rows].to(dtype))
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None, None]:
        (grad,) = grad_outputs
        weight = _whole_weight(ctx.base_layer, ctx.fan_in_fan_out)
        if grad.dtype.itemsize <= weight.dtype.itemsize:
            return (grad @ weight.to(grad.dtype)).to(ctx.x_dtype), None, None, None, None
        grad_x = grad.new_zeros(*grad.shape[:-1], weight.shape[1])
        for rows in blocks(*weight.shape):
            grad_x += grad[..., rows] @ weight[rows].to(grad.dtype)
        return grad_x.to(ctx.x_dtype), None, None, None, None


class _Rescale(torch.autograd.Function):
    """The DoRA output from its parts, over blocks of tokens, each computed in float32 or wider and rounded once.

    Without dropout: m * (result - bias + s * lora) + bias. With it: result + (m - 1) * dropped + m * s * lora, where
    `dropped` (..., out) is the base product of the dropped-out input. lora = low_rank B^T, m = magnitude / norm.
    """

    @staticmethod
    def forward(
        ctx: Any,
        result: Tensor,
        dropped: Tensor | None,
        bias: Tensor | None,
        low_rank: Tensor,
        B: Tensor,  # noqa: N803
        magnitude: Tensor,
        norm: Tensor,
        scaling: float,
    ) -> Tensor:
        base = result if dropped is None else dropped
        ctx.save_for_backward(base, bias, low_rank, B, magnitude, norm)
        ctx.scaling, ctx.has_dropped = scaling, dropped is not None
        parts = _Parts(base, bias, low_rank, B, scaling)
        m = magnitude.to(parts.wide) / norm
        output = torch.empty_like(result, memory_format=torch.contiguous_format)
        flat_output, flat_result = _flat(output), _flat(result)
        for tokens in parts.blocks():
            update = parts.direction(tokens).mul_(m)
            if dropped is not None:
                update.sub_(parts.base[tokens]).add_(flat_result[tokens])
            elif bias is not None:
                update.add_(bias)
            flat_output[tokens] = update
            del update  # before the next block, not after it
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        flat_grad = _flat(grad_outputs[0])
        base, bias, low_rank, B, magnitude, norm = ctx.saved_tensors  # noqa: N806
        parts = _Parts(base, bias, low_rank, B, ctx.scaling)
        m = magnitude.to(parts.wide) / norm
        grad_m, grad_sum = torch.zeros_like(m), torch.zeros_like(m)
        dtype = torch.promote_types(base.dtype, low_rank.dtype)
        scaled = torch.empty(base.shape, dtype=dtype, device=base.device)  # m * grad
        for tokens in parts.blocks():
            wide_grad = flat_grad[tokens].to(parts.wide)
            grad_m += parts.direction(tokens).mul_(wide_grad).sum(0)
            if ctx.needs_input_grad[2]:
                grad_sum += wide_grad.sum(0)
            _flat(scaled)[tokens] = wide_grad * m
            del wide_grad
        # The adapter's products over all tokens at once: partial sums would each be rounded to 16 bits.
        grad_lora = scaled.to(low_rank.dtype)
        grad_low_rank = grad_lora @ (parts.B * ctx.scaling)
        grad_B = _flat(grad_lora).t() @ (parts.low_rank * ctx.scaling)  # noqa: N806
        del grad_lora
        grad_bias = (grad_sum * (1 - m)).to(bias.dtype) if ctx.needs_input_grad[2] else None
        rest = (grad_bias, grad_low_rank, grad_B.to(B.dtype), (grad_m / norm).to(magnitude.dtype), None, None)
        if not ctx.has_dropped:
            return scaled.to(base.dtype), None, *rest
        for tokens in parts.blocks():
            _flat(scaled)[tokens] = flat_grad[tokens].to(parts.wide) * (m - 1)
        return grad_outputs[0], scaled, *rest


def _flat(tensor: Tensor) -> Tensor:
    """All but the last dimension as one."""
    return tensor.reshape(-1, tensor.shape[-1])


class _Parts:
    """What both passes of `_Rescale` share: its tensors with all tokens in one dimension, and the unscaled output."""

    def __init__(self, base: Tensor, bias: Tensor | None, low_rank: Tensor, B: Tensor, scaling: float) -> None:  # noqa: N803
        self.wide = _at_least_float32(base.dtype)
        self.base, self.low_rank = _flat(base), _flat(low_rank)
        self.B, self.bias, self.scaling = B.to(low_rank.dtype), bias, scaling

    def blocks(self) -> Iterator[slice]:
        return blocks(*self.base.shape)

    def direction(self, tokens: slice) -> Tensor:
        """base - bias + s * lora of these tokens, (tokens, out), in a new tensor of the wide dtype."""
        total = linear(self.low_rank[tokens], self.B).to(self.wide).mul_(self.scaling).add_(self.base[tokens])
        return total if self.bias is None else total.sub_(self.bias)
