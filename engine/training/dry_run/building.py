"""The model and adapter of a dry run: transformers' and PEFT's own classes on fake tensors, from config.json alone.

Everything here runs under a FakeTensorMode that the caller entered. Not here: the batch, the loss and the step.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from peft import get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig
from transformers.initialization import no_init_weights
from transformers.quantizers.base import get_keys_to_not_convert

from engine.dry_run_types import StepSpec
from engine.errors import ModelError
from engine.training import joining, segment_attention, shared_casts, varlen_attention
from engine.training.arguments import lora_config
from engine.training.dry_run.four_bit import quantize
from engine.training.model_loading import torch_dtype
from engine.training.selective_checkpointing import keep_attention

# How transformers is told to attend: the emulated kernels stand behind its "sdpa".
_IMPLEMENTATIONS = {"eager": "eager", "segments": segment_attention.NAME, "varlen": varlen_attention.NAME}
_MAGNITUDE = "lora_magnitude_vector"


def model_config(config: Mapping[str, Any], attention: str) -> PretrainedConfig:
    """transformers' configuration object for a config.json. Raises ModelError for a model_type it does not know."""
    values = dict(config)
    model_type = values.pop("model_type", None)
    try:
        made = AutoConfig.for_model(model_type, **values)
    except (ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as fault:
        raise ModelError(
            f"A model of the type {model_type!r} cannot be dry run: {_first_line(fault)}",
            means="The installed transformers builds the model from config.json, and does not know this one.",
            remedy="Check config.json, or update transformers; until then only the closed form can be shown.",
        ) from fault
    made._attn_implementation = _IMPLEMENTATIONS.get(attention, "sdpa")
    made.use_cache = False
    made.get_text_config().use_cache = False
    return made


def build_model(config: PretrainedConfig, spec: StepSpec) -> tuple[nn.Module, list[tuple[str, int]]]:
    """The model as it stands before the first step: quantized, with its adapter, in training mode.

    Also (name, number of parameters) of its tensors as they were before quantization, tied ones once.
    """
    if spec.attention in ("segments", "varlen"):
        joining.register()
    model = _base_model(config, torch_dtype(spec.dtype))
    sizes = [(name, parameter.numel()) for name, parameter in model.named_parameters()]
    if spec.method == "qlora":
        quantize(
            model,
            set(get_keys_to_not_convert(model)),
            double_quant=spec.double_quant,
            quant_type=spec.quant_type,
            dtype=torch_dtype(spec.dtype),
            compute_dtype=torch_dtype(_compute_dtype(spec)),
        )
    if spec.kbit_upcast:
        _upcast(model)
    base = model
    if spec.method != "full":
        model = _with_adapter(model, spec)
        sizes += [(name, parameter.numel()) for name, parameter in model.named_parameters() if "lora_" in name]
    if spec.gradient_checkpointing:
        checkpointed: Any = base
        if spec.selective_checkpointing:
            keep_attention(checkpointed)
        checkpointed.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    return model, sizes


@contextmanager
def rebinding() -> Iterator[None]:
    """`nn.Module.to` swaps tensors in place, which fake tensors refuse: inside, it binds new parameters instead."""
    original = nn.Module._apply

    def apply(module: nn.Module, change: Any, recurse: bool = True) -> nn.Module:
        if recurse:
            for child in module.children():
                apply(child, change)
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                with torch.no_grad():
                    changed = change(parameter)
                if changed is not parameter:
                    module._parameters[name] = nn.Parameter(changed, requires_grad=parameter.requires_grad)
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = change(buffer)
        return module

    nn.Module._apply = apply  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module._apply = original  # type: ignore[method-assign]


def _base_model(config: PretrainedConfig, dtype: torch.dtype) -> nn.Module:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with no_init_weights():
            model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, ImportError) as fault:
        raise ModelError(
            f"A model cannot be built from this {config.model_type} configuration: {_first_line(fault)}",
            means="transformers refuses it, so its memory cannot be worked out by a dry run.",
            remedy="Check that config.json belongs to a text model and that transformers is recent enough for it.",
        ) from fault
    finally:
        torch.set_default_dtype(before)
    model.tie_weights()
    model.config.use_cache = False
    assert isinstance(model, nn.Module)
    return model


def _with_adapter(model: nn.Module, spec: StepSpec) -> nn.Module:
    plan: Any = spec  # it has the plan's names
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded: Any = model
        adapted = get_peft_model(loaded, lora_config(plan))
    dtype = torch_dtype(spec.adapter_dtype)
    for name, parameter in adapted.named_parameters():
        if spec.optim == "lora_fa" and "lora_A" in name:
            parameter.requires_grad_(False)
        if "lora_" in name and _MAGNITUDE not in name and parameter.dtype != dtype:
            parameter.data = parameter.data.to(dtype)
    if spec.use_dora and spec.lean_dora:
        from engine.training import lean_dora

        lean_dora.install(adapted)
    if spec.device == "cpu":
        shared_casts.install(adapted)
    assert isinstance(adapted, nn.Module)
    return adapted


def _upcast(model: nn.Module) -> None:
    """What PEFT's prepare_model_for_kbit_training does to memory: all that is not packed becomes float32."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        if parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.to(torch.float32)


def _compute_dtype(spec: StepSpec) -> str:
    return spec.compute_dtype or (spec.autocast if spec.autocast != "none" else "float32")


def _first_line(fault: Exception) -> str:
    return next((line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__)[:300]
