"""One copy of a layer's input in autocast's type, for all the layers that take it.

Under autocast every linear layer copies its float32 input for itself: query, key and value, each with its adapter,
make and keep six copies of one tensor, and PEFT turns 16-bit inputs of an adapter back to float32 before that. Shared,
there is one. What the layers compute stays the same to the bit; gradients of the input are added up in 16 bits, as in
a 16-bit model. Not here: base weights in 16 bits, quantized ones and DoRA, which have ways of their own.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from peft.tuners.lora.layer import Linear


def install(model: Any) -> int:
    """Let the plain LoRA layers of a model share their inputs' copies. Returns how many do; none for another model."""
    shared = _SharedCast()
    layers = [layer for layer in model.modules() if type(layer) is Linear and _is_plain(layer)]
    for layer in layers:
        layer.cast_input_dtype_enabled = False
        layer.register_forward_pre_hook(shared)
    return len(layers)


def _is_plain(layer: Linear) -> bool:
    """Whether base layer and adapters are all float32, and there is no more to the adapters than their product."""
    weights = [layer.get_base_layer().weight, *(part.weight for part in layer.lora_A.values())]
    return not layer.lora_variant and all(weight.dtype == torch.float32 for weight in weights)


class _SharedCast:
    """A forward pre-hook. Holds nothing: the copy lives as long as the backward pass needs it."""

    def __init__(self) -> None:
        self._given: Any = None
        self._copy: Any = None
        self._version = -1

    def __call__(self, _layer: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        given = inputs[0]
        device = given.device.type
        if given.dtype != torch.float32 or not torch.is_autocast_enabled(device):
            return None
        copy = self._copy() if self._copy is not None and self._given() is given else None
        learns = given.requires_grad and torch.is_grad_enabled()
        if copy is None or copy.requires_grad != learns or given._version != self._version:
            copy = given.to(torch.get_autocast_dtype(device))
            self._given, self._copy, self._version = weakref.ref(given), weakref.ref(copy), given._version
        return (copy, *inputs[1:])
