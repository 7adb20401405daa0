"""CUDA's autocast rules on the CPU stand-in, and functions that a card runs without an intermediate copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from engine.training.dry_run.cuda_kernels import fused_half_softmax

_HALVES = (torch.bfloat16, torch.float16)
# Their inputs are cast to float32 by CUDA's autocast, and the casts are tensors of their own.
_CAST_INPUTS = {
    *(torch.pow, torch.Tensor.pow, torch.rsqrt, torch.Tensor.rsqrt, torch.exp, torch.Tensor.exp),
    *(torch.log, torch.Tensor.log, functional.layer_norm, functional.nll_loss),
}
_SOFTMAXES = {functional.softmax, torch.softmax, torch.Tensor.softmax}
# These run with dtype=float32: the kernel reads halves and writes floats.
_FLOAT_OUTPUT = {
    *(torch.linalg.norm, torch.linalg.vector_norm, functional.log_softmax),
    *(torch.sum, torch.Tensor.sum, torch.cumsum, torch.Tensor.cumsum, *_SOFTMAXES),
}


class CudaRules(TorchFunctionMode):
    """Function calls as a card would run them."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if torch._C.is_autocast_enabled("cpu"):
            if func in _CAST_INPUTS:
                args = tuple(argument.float() if _is_half(argument) else argument for argument in args)
            elif func in _FLOAT_OUTPUT and args and _is_half(args[0]) and named.get("dtype") is None:
                named["dtype"] = torch.float32
        if func in _SOFTMAXES and args and args[0].dtype is torch.float16 and named.get("dtype") is torch.float32:
            return fused_half_softmax(args[0])
        return func(*args, **named)


def _is_half(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in _HALVES


@contextmanager
def cuda_rules() -> Iterator[None]:
    """Inside, the CPU stand-in follows CUDA's rules, and who asks for CUDA's autocast state is told the CPU's."""
    enabled = torch.is_autocast_enabled
    torch.is_autocast_enabled = lambda *_: enabled("cpu")
    try:
        with CudaRules():
            yield
    finally:
        torch.is_autocast_enabled = enabled
