"""The optimizers of a step, by the allocations they make. bitsandbytes' and PEFT's cannot run on fake tensors.

Their names and defaults are those of transformers, bitsandbytes 0.50 and PEFT 0.21.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from bitsandbytes.backends.cpu import ops as cpu_kernels
from torch import nn

_MIN_8BIT_SIZE = 4096
"""Smaller tensors keep float32 state."""
_BLOCK = 256
"""State values that share a float32 scale."""
_PAGED_SIZE = 100_000
"""Larger tensors' state is paged: managed memory, which is not PyTorch's."""
_MAP_ENTRIES = 256


class EightBitAdam(torch.optim.Optimizer):
    """bitsandbytes' AdamW: state in one byte per value; `paged` moves the state of large tensors off the card.

    `full_precision` keep float32 state. On a card the kernels work in place; on a CPU bitsandbytes' own Python
    runs, with temporaries of a parameter's size in float32.
    """

    def __init__(
        self, parameters: list[nn.Parameter], *, full_precision: Iterable[nn.Parameter], device: str, paged: bool
    ) -> None:
        super().__init__(parameters, {})
        self._full_precision = set(full_precision)
        self._device, self._paged = device, paged and device == "cuda"
        self._maps: list[torch.Tensor] = []

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter not in self.state:
                    self.state[parameter] = self._initial(parameter)
                if self._device == "cpu":
                    self._update(parameter, self.state[parameter])

    def _initial(self, parameter: nn.Parameter) -> dict[str, torch.Tensor]:
        size = parameter.numel()
        paged = self._paged and size >= _PAGED_SIZE
        if size < _MIN_8BIT_SIZE or parameter in self._full_precision:
            if paged:
                return {}
            return {name: torch.zeros_like(parameter, dtype=torch.float32) for name in ("state1", "state2")}
        if not self._maps:
            self._maps = [torch.empty(_MAP_ENTRIES), torch.empty(_MAP_ENTRIES)]
        blocks = -(-size // _BLOCK)
        state = {name: torch.zeros(blocks) for name in ("absmax1", "absmax2")}
        if not paged:
            state |= {name: torch.zeros_like(parameter, dtype=torch.uint8) for name in ("state1", "state2")}
        return state

    def _update(self, parameter: nn.Parameter, state: dict[str, torch.Tensor]) -> None:
        """One step of bitsandbytes' CPU kernels; only the sizes of what they make matter."""
        update_32bit: Any = cpu_kernels._optimizer_update_32bit_cpu
        update_8bit: Any = cpu_kernels._optimizer_update_8bit_blockwise_cpu
        moments = parameter.grad, parameter, state["state1"], state["state2"]
        if "absmax1" not in state:
            update_32bit("adam", *moments, None, 0.0, 0.0, 0.9, 0.999, 0.0, 0.0, 1e-8, 0.0, 1, 1e-3, 1.0)
            return
        scales = *self._maps, state["absmax1"], state["absmax2"]
        update_8bit("adam", *moments, 0.9, 0.999, 0.0, 0.0, 1e-8, 1, 1e-3, *scales, 0.0, 1.0)


class LoraFa(torch.optim.Optimizer):
    """PEFT's LoRA-FA for the B matrices, with A frozen: AdamW on a projected gradient, one layer at a time."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                projected = torch.empty_like(parameter)
                state["exp_avg"].mul_(0.9).add_(projected)
                state["exp_avg_sq"].mul_(0.9).addcmul_(projected, projected)
                parameter.addcdiv_(state["exp_avg"], state["exp_avg_sq"].sqrt().add_(1e-8))


def optimizer(
    name: str, parameters: list[nn.Parameter], device: str, *, embeddings: Iterable[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """The optimizer that a step spec calls `name`, on `device` "cuda" or "cpu". Raises ValueError.

    transformers keeps the state of `embeddings` in float32 under bitsandbytes' 8-bit optimizers.
    """
    if name == "adamw_torch_fused":
        return torch.optim.AdamW(parameters, fused=True)
    if name == "adamw_torch":  # PyTorch takes the foreach implementation on a card, the plain loop on a CPU
        return torch.optim.AdamW(parameters, foreach=device == "cuda")
    if name == "adamw_foreach":
        return torch.optim.AdamW(parameters, foreach=True)
    if name == "sgd":
        return torch.optim.SGD(parameters, foreach=device == "cuda")
    if name == "lora_fa":
        return LoraFa(parameters)
    if name in ("adamw_8bit", "paged_adamw_8bit"):
        paged = name.startswith("paged")
        return EightBitAdam(parameters, full_precision=embeddings, device=device, paged=paged)
    raise ValueError(f"unknown optimizer {name!r}")
