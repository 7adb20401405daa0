"""Layers with DoRA, and how one of PEFT's is compared with a lean one. For the tests of lean DoRA only.

PEFT's layer in float64 is the truth where rounding hides a difference; nothing here repeats the formula.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import dora
from torch import Tensor, nn

from engine.training import lean_dora

TOKENS = (2, 5)
"""Leading dimensions of every input: batch, length."""
FLOAT32_CLOSE = 1e-5
BFLOAT16_CLOSE = 2.0**-6
"""Largest difference relative to the whole tensor's norm. Two roundings to bfloat16 differ by at most 2^-8 each."""


@dataclass(frozen=True)
class Case:
    """One layer with DoRA. `base`: float32, bfloat16, nf4 or nf4-double; `adapter`: what A and B are cast to.

    The input has the dtype that the base computes in, or float32 where `wide_input` says so.
    """

    base: str = "float32"
    in_features: int = 64
    out_features: int = 64
    adapter: str = "float32"
    bias: bool = False
    autocast: bool = False
    wide_input: bool = False
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def is_float32(self) -> bool:
        return self.base == "float32" and self.adapter == "float32" and not self.autocast


class OneLayer(nn.Module):
    """The smallest thing that PEFT adapts."""

    def __init__(self, proj: nn.Module, *, is_loaded_in_4bit: bool = False) -> None:
        super().__init__()
        self.proj = proj
        self.is_loaded_in_4bit = is_loaded_in_4bit

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.proj(x)
        return projected


def base_layer(case: Case) -> nn.Module:
    plain = nn.Linear(case.in_features, case.out_features, bias=case.bias)
    if case.base in ("float32", "bfloat16"):
        return plain.to(getattr(torch, case.base))
    layer = Linear4bit(
        case.in_features,
        case.out_features,
        bias=case.bias,
        compute_dtype=torch.bfloat16,
        compress_statistics=case.base == "nf4-double",
        quant_type="nf4",
    )
    layer.weight = Params4bit(
        plain.weight.detach().bfloat16(),
        requires_grad=False,
        quant_type="nf4",
        compress_statistics=case.base == "nf4-double",
    )
    if case.bias:
        layer.bias = nn.Parameter(plain.bias.detach().bfloat16(), requires_grad=False)
    return layer.to("cpu")


def dora_layer(case: Case) -> Any:
    """A PEFT model of one layer, its adapter as far from the start as training takes it."""
    torch.manual_seed(case.in_features * 1000 + case.out_features)
    model = OneLayer(base_layer(case), is_loaded_in_4bit=case.base.startswith("nf4"))
    settings = {"r": 8, "lora_alpha": 16, "target_modules": ["proj"], "use_dora": True} | case.config
    adapted = get_peft_model(model, LoraConfig(**settings))
    for name, parameter in adapted.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            parameter.data = parameter.data.to(getattr(torch, case.adapter))
    train_a_little(adapted)
    return adapted


def train_a_little(model: nn.Module) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.05)
            if "lora_magnitude_vector" in name:
                parameter.mul_(1 + 0.1 * torch.randn_like(parameter))


def lean_copy(model: Any) -> Any:
    lean = copy.deepcopy(model)
    assert lean_dora.install(lean) > 0
    return lean


def in_float64(model: Any) -> Any:
    """PEFT's own layer with the same numbers in double precision, a quantized weight as what it stands for."""
    exact = copy.deepcopy(model)
    layer = exact.base_model.model.proj
    if isinstance(layer.base_layer, Linear4bit):
        weight = dora.dequantize_module_weight(layer.base_layer).detach()
        plain = nn.Linear(weight.shape[1], weight.shape[0], bias=layer.base_layer.bias is not None)
        plain.weight = nn.Parameter(weight, requires_grad=False)
        plain.bias = layer.base_layer.bias
        layer.base_layer = plain
    return exact.double()


def step(
    model: Any, case: Case, forward: Callable[[Any, Tensor], Tensor] = lambda model, x: model(x)
) -> dict[str, Tensor]:
    """Output and every gradient of one step on numbers that depend on the case alone, by name."""
    numbers = torch.Generator().manual_seed(7)
    dtype = torch.float32 if case.base == "float32" or case.wide_input else torch.bfloat16
    x = torch.randn(*TOKENS, case.in_features, generator=numbers).to(dtype)
    wanted = torch.randn(*TOKENS, case.out_features, generator=numbers).to(dtype)
    if next(model.parameters()).dtype == torch.float64:
        x, wanted = x.double(), wanted.double()
    x.requires_grad_()
    torch.manual_seed(11)  # the same units drop out
    with torch.autocast("cpu", torch.bfloat16) if case.autocast and x.dtype != torch.float64 else nullcontext():
        output = forward(model, x)
    output.backward(wanted.to(output.dtype))
    grads = {name: p.grad for name, p in model.named_parameters() if p.requires_grad and p.grad is not None}
    return {"output": output.detach(), "input": x.grad, **grads}


def difference(one: Tensor, other: Tensor) -> float:
    one, other = one.detach().double(), other.detach().double()
    return float((one - other).norm() / other.norm())


def assert_same_function(case: Case, model: Any | None = None) -> None:
    stock = dora_layer(case) if model is None else model
    truth = None if case.is_float32 else step(in_float64(stock), case)
    theirs, ours = step(stock, case), step(lean_copy(stock), case)
    assert ours.keys() == theirs.keys()
    assert {"output", "input"} < ours.keys()
    for name, tensor in ours.items():
        assert tensor.shape == theirs[name].shape
        assert tensor.dtype == theirs[name].dtype, name
        if truth is None:
            assert difference(tensor, theirs[name]) <= FLOAT32_CLOSE, name
        else:
            assert difference(tensor, theirs[name]) <= BFLOAT16_CLOSE, name
            assert difference(tensor, truth[name]) <= 1.1 * difference(theirs[name], truth[name]) + 1e-6, name
