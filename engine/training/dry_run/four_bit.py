"""4-bit layers without weights: the bytes bitsandbytes 0.50 would hold, and what its kernels allocate.

The layers are bitsandbytes' own, so its real forward and backward run; only the quantized weight is made up
here, and the temporaries inside its kernels are told to the tracker by `HIDDEN_BYTES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bitsandbytes
import peft.tuners.lora.dora
import peft.utils.integrations
import torch
from bitsandbytes.functional import QuantState
from torch import nn

from engine.training.dry_run.tracking import HiddenBytes

BLOCK, NESTED_BLOCK = 64, 256
"""Weights that share a scale, and scales that share one under double quantization."""
_CODE_ENTRIES, _NESTED_CODE_ENTRIES = 16, 256
_OPS = torch.ops.bitsandbytes


class DryLinear4bit(bitsandbytes.nn.Linear4bit):
    """A Linear4bit that was never quantized: packed bytes, scales and codes have the right sizes, no values."""

    def __init__(
        self, layer: nn.Linear, *, double_quant: bool, quant_type: str, dtype: torch.dtype, compute_dtype: torch.dtype
    ) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        shape = torch.Size((layer.out_features, layer.in_features))
        state = _quant_state(shape, dtype, double_quant, quant_type)
        weight: Any = nn.Parameter(torch.empty((shape.numel() + 1) // 2, 1, dtype=torch.uint8), requires_grad=False)
        weight.quant_type, weight.compress_statistics, weight.blocksize = quant_type, double_quant, BLOCK
        weight.bnb_quantized, weight.quant_state, weight.quant_storage = True, state, torch.uint8
        self.weight = weight
        self.bias = layer.bias
        self.quant_state = state
        self.quant_storage = torch.uint8
        self.compute_dtype = compute_dtype
        self.compute_type_is_set = True
        self.support_avx512bf16_for_cpu = False


def _quant_state(shape: torch.Size, dtype: torch.dtype, double_quant: bool, quant_type: str) -> QuantState:
    blocks = -(-shape.numel() // BLOCK)
    code = torch.empty(_CODE_ENTRIES)
    if not double_quant:
        return QuantState(torch.empty(blocks), shape, code, BLOCK, quant_type, dtype)
    nested = QuantState(
        torch.empty(-(-blocks // NESTED_BLOCK)),
        code=torch.empty(_NESTED_CODE_ENTRIES),
        blocksize=NESTED_BLOCK,
        dtype=torch.float32,
    )
    absmax = torch.empty(blocks, dtype=torch.uint8)
    return QuantState(absmax, shape, code, BLOCK, quant_type, dtype, offset=torch.empty(()), state2=nested)


def overhead(layer: bitsandbytes.nn.Linear4bit) -> list[torch.Tensor]:
    """The tensors of a 4-bit layer beside its packed weight: scales and codes."""
    state = layer.weight.quant_state
    found = [state.absmax, state.code]
    if state.nested:
        found += [state.offset, state.state2.absmax, state.state2.code]
    return found


def quantize(
    model: nn.Module,
    kept: set[str],
    *,
    double_quant: bool,
    quant_type: str,
    dtype: torch.dtype,
    compute_dtype: torch.dtype,
) -> None:
    """Put 4-bit layers in place of all linear layers but those named in `kept`."""
    linear = [(name, module) for name, module in model.named_modules() if type(module) is nn.Linear]
    for name, module in linear:
        if name in kept:
            continue
        parent, _, attribute = name.rpartition(".")
        layer = DryLinear4bit(
            module, double_quant=double_quant, quant_type=quant_type, dtype=dtype, compute_dtype=compute_dtype
        )
        setattr(model.get_submodule(parent), attribute, layer)
    loaded: Any = model
    loaded.is_loaded_in_4bit = loaded.is_quantized = True
    loaded.quantization_method = "bitsandbytes"


def _gemm(args: tuple[Any, ...], named: dict[str, Any], _output: Any) -> list[int]:
    """The whole weight in the input's type; under double quantization two float32 copies of its scales."""
    shape, absmax_8bit = args[2], named.get("absmax_8bit")
    weight = shape[0] * shape[1] * args[0].element_size()
    return [weight] if absmax_8bit is None else [absmax_8bit.numel() * 4] * 2 + [weight]


HIDDEN_BYTES: dict[Any, HiddenBytes] = {_OPS.gemm_4bit.default: _gemm}
DEQUANTIZING = (_OPS.dequantize_4bit.default, _OPS.dequantize_blockwise.default)
"""Operators whose outputs are dequantized weights or scales."""


@contextmanager
def readable_by_peft() -> Iterator[None]:
    """PEFT recognises a 4-bit weight by its class, which a fake tensor cannot have: show it how to read ours."""
    original = peft.utils.integrations.dequantize_module_weight

    def dequantize(module: nn.Module) -> Any:
        if isinstance(module, DryLinear4bit):
            return bitsandbytes.functional.dequantize_4bit(module.weight.data, module.quant_state)
        return original(module)

    places: tuple[Any, ...] = (peft.utils.integrations, peft.tuners.lora.dora)
    for place in places:
        place.dequantize_module_weight = dequantize
    try:
        yield
    finally:
        for place in places:
            place.dequantize_module_weight = original
