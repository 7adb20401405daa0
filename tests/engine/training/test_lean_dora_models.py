"""Whole models with lean DoRA: they train the same, and what they save is PEFT's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from torch import Tensor
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from engine.training import lean_dora
from tests.engine.training.dora_layers import (
    BFLOAT16_CLOSE,
    FLOAT32_CLOSE,
    difference,
    lean_copy,
    train_a_little,
)

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of rows and of tokens even here, the last one shorter."""
    monkeypatch.setattr(lean_dora, "BLOCK_ELEMENTS", 300)


ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def tiny(folder: Path, dtype: torch.dtype = torch.float32, quantization_config: Any = None, **config: Any) -> Any:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, quantization_config=quantization_config)
    settings = {"r": 8, "target_modules": ALL_LINEAR, "use_dora": True, "task_type": "CAUSAL_LM"} | config
    torch.manual_seed(1)
    adapted = get_peft_model(model, LoraConfig(**settings))
    train_a_little(adapted)
    return adapted


def model_step(model: Any, *, checkpointing: bool = False) -> dict[str, Tensor]:
    """Logits and gradients of one step on a fixed batch."""
    model.train()
    if checkpointing:
        model.activation_checkpointing_enable()
        model.enable_input_require_grads()
    ids = torch.randint(0, 200, (2, 12), generator=torch.Generator().manual_seed(2))
    torch.manual_seed(13)
    output = model(input_ids=ids, labels=ids)
    output.loss.backward()
    return {"logits": output.logits.detach()} | {n: p.grad for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3", "granite"])
def test_a_whole_model_trains_the_same(tiny_model_of: Callable[[str], Path], family: str, checkpointing: bool) -> None:
    stock = tiny(tiny_model_of(family), lora_dropout=0.1)
    lean = copy.deepcopy(stock)
    assert lean_dora.install(lean) == 2 * len(ALL_LINEAR)
    theirs, ours = model_step(stock, checkpointing=checkpointing), model_step(lean, checkpointing=checkpointing)
    for name, tensor in ours.items():
        assert difference(tensor, theirs[name]) <= 10 * FLOAT32_CLOSE, name


def test_a_whole_4bit_model_is_as_close_to_pefts_as_bfloat16_allows(tiny_model_folder: Path) -> None:
    """Adapters in bfloat16 and magnitudes in float32, as TRL trains QLoRA with DoRA."""
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    stock = tiny(tiny_model_folder, torch.bfloat16, quantization_config=quantization)
    for name, parameter in stock.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            parameter.data = parameter.data.bfloat16()
    theirs, ours = model_step(stock), model_step(lean_copy(stock))
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype, name
        assert difference(tensor, theirs[name]) <= 3 * BFLOAT16_CLOSE, name  # two layers deep


def train(model: Any, steps: int = 3) -> None:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model_step(model)
        optimizer.step()


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(input_ids=torch.arange(2, 40)[None]).logits
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_saved_adapter_means_the_same_to_pefts_dora_and_to_the_lean_one(
    tiny_model_folder: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    close = 10 * FLOAT32_CLOSE if dtype == torch.float32 else BFLOAT16_CLOSE
    lean = tiny(tiny_model_folder, dtype)
    names = {name: tensor.dtype for name, tensor in get_peft_model_state_dict(lean).items()}
    lean_dora.install(lean)
    train(lean)
    assert {name: tensor.dtype for name, tensor in get_peft_model_state_dict(lean).items()} == names
    lean.save_pretrained(tmp_path / "lean")
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=dtype)
    stock = PeftModel.from_pretrained(base, tmp_path / "lean", is_trainable=True)
    assert difference(logits(stock), logits(lean)) <= close
    train(stock)
    stock.save_pretrained(tmp_path / "stock")
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=dtype)
    again = PeftModel.from_pretrained(base, tmp_path / "stock")
    lean_dora.install(again)
    assert difference(logits(again), logits(stock)) <= close


@pytest.mark.parametrize("safe", [False, True])
def test_merging_gives_the_very_weights_that_peft_gives(tiny_model_folder: Path, safe: bool) -> None:
    stock = tiny(tiny_model_folder)
    lean = lean_copy(stock)
    before = logits(lean)
    merged, wanted = (model.merge_and_unload(safe_merge=safe) for model in (lean, stock))
    assert merged.state_dict().keys() == wanted.state_dict().keys()
    assert all(torch.equal(tensor, wanted.state_dict()[name]) for name, tensor in merged.state_dict().items())
    assert difference(logits(merged), before) <= 10 * FLOAT32_CLOSE


def test_merging_and_unmerging_in_place_comes_back(tiny_model_folder: Path) -> None:
    lean = lean_copy(tiny(tiny_model_folder))
    before = logits(lean)
    lean.merge_adapter()
    assert difference(logits(lean), before) <= 10 * FLOAT32_CLOSE
    lean.unmerge_adapter()
    assert difference(logits(lean), before) <= 10 * FLOAT32_CLOSE


# --- memory -------------------------------------------------------------------------------------------------------
