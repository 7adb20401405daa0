"""Copies of inputs in autocast's type, shared by the layers of a tiny model with a LoRA adapter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from engine.training import shared_casts
from engine.training.model_loading import load_model

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
IDS = torch.arange(3, 43)[None]


def adapted(folder: Path, dtype: str = "float32", **options: Any) -> Any:
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM", **options)
    return get_peft_model(load_model(folder, dtype=dtype), config).train()


def hidden(model: Any) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states: torch.Tensor = model.get_base_model().get_decoder()(IDS, use_cache=False).last_hidden_state
    return states


def gradients(model: Any) -> dict[str, torch.Tensor]:
    hidden(model).float().square().sum().backward()
    return {name: part.grad for name, part in model.named_parameters() if part.grad is not None}


def kept_bytes(model: Any) -> int:
    """Of all that is kept for the backward pass, each storage once."""
    kept: dict[int, int] = {}

    def note(part: torch.Tensor) -> torch.Tensor:
        kept[part.untyped_storage().data_ptr()] = part.untyped_storage().nbytes()
        return part

    with torch.autograd.graph.saved_tensors_hooks(note, lambda part: part):
        states = hidden(model)
    assert states.requires_grad
    return sum(kept.values())


def test_shared_copies_change_no_bit_of_the_result(tiny_model_of: Callable[[str], Path]) -> None:
    model = adapted(tiny_model_of("llama"))
    before = hidden(model)
    assert shared_casts.install(model) == sum(name.endswith("lora_A.default") for name, _ in model.named_modules())
    assert torch.equal(hidden(model), before)
    with torch.no_grad():
        assert torch.equal(hidden(model), before)


def test_gradients_stay_what_16_bits_give_and_less_is_kept_for_them(tiny_model_of: Callable[[str], Path]) -> None:
    model = adapted(tiny_model_of("llama"))
    kept, wanted = kept_bytes(model), gradients(model)
    wanted = {name: part.clone() for name, part in wanted.items()}
    model.zero_grad(set_to_none=True)
    shared_casts.install(model)
    assert kept_bytes(model) < kept
    found = gradients(model)
    assert found.keys() == wanted.keys()
    assert all((found[name] - part).norm() <= 0.02 * part.norm() for name, part in wanted.items())


def test_an_input_changed_in_place_is_copied_anew(tiny_model_of: Callable[[str], Path]) -> None:
    model = adapted(tiny_model_of("llama"))
    shared_casts.install(model)
    layer = next(module for name, module in model.named_modules() if name.endswith("q_proj"))
    given = torch.ones(1, 3, layer.in_features)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        first = layer(given)
        given.mul_(2)
        assert torch.equal(layer(given), 2 * first)


def test_dora_and_16_bit_weights_are_left_alone(tiny_model_of: Callable[[str], Path]) -> None:
    assert shared_casts.install(adapted(tiny_model_of("llama"), use_dora=True)) == 0
    assert shared_casts.install(adapted(tiny_model_of("llama"), "bfloat16")) == 0
    assert shared_casts.install(load_model(tiny_model_of("llama"), dtype="float32")) == 0
