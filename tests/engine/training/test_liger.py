"""Liger's kernels need a card. Here its package is one written for the test: it patches as Liger's own does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any

import pytest
import torch
from transformers.models.llama import modeling_llama

from engine.errors import ModelError
from engine.event_log import EventWriter, read_events
from engine.events import WarningRaised
from engine.recipe import Recipe
from engine.training import liger
from engine.training.building import base_model, with_liger
from engine.training.model_loading import load_model

Patch = Callable[..., None]


def patch_norms(change: Callable[[Any, torch.Tensor], torch.Tensor]) -> Patch:
    """As apply_liger_kernel_to_llama does it: the class of the family, and every norm of the model."""

    def apply(
        rope: bool = True, fused_linear_cross_entropy: bool = True, rms_norm: bool = True, *, model: Any = None
    ) -> None:
        assert rope
        assert rms_norm
        assert not fused_linear_cross_entropy
        modeling_llama.LlamaRMSNorm = torch.nn.RMSNorm
        for module in [*model.modules()]:
            if type(module).__name__ == "LlamaRMSNorm":
                module.in_place = True
                module.__dict__["forward"] = MethodType(change, module)

    return apply


def same(module: Any, states: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.rms_norm(states, module.weight.shape, module.weight, module.variance_epsilon)


def wrong(module: Any, states: torch.Tensor) -> torch.Tensor:
    return same(module, states) + torch.linspace(0, 1, states.shape[-1])


def broken(_module: Any, _states: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("Triton Error [CUDA]: device kernel image is invalid\nand more")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Patch], None]:
    """Makes a package of that name importable, whose kernels for llama are these; its family's classes come back."""
    monkeypatch.setattr(modeling_llama, "LlamaRMSNorm", modeling_llama.LlamaRMSNorm)

    def install(patch: Patch) -> None:
        made = ModuleType(liger.PATCHES)
        made.__dict__["MODEL_TYPE_TO_APPLY_LIGER_FN"] = {"llama": patch}
        for name in ("liger_kernel", "liger_kernel.transformers"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, liger.PATCHES, made)

    return install


@pytest.fixture
def model(tiny_model_of: Callable[[str], Path]) -> Any:
    return load_model(tiny_model_of("llama"), dtype="float32")


def states(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.arange(9)[None]).logits
    return found


def test_kernels_that_compute_the_same_stay(model: Any, installed: Callable[[Patch], None]) -> None:
    before = states(model)
    installed(patch_norms(same))
    assert liger.unusable_because(model) == ""
    assert "forward" in vars(model.model.norm)
    torch.testing.assert_close(states(model), before)


@pytest.mark.parametrize(("change", "told"), [(wrong, "states come out"), (broken, "RuntimeError: Triton Error")])
def test_kernels_that_fail_leave_the_model_as_it_was(
    model: Any, installed: Callable[[Patch], None], change: Any, told: str
) -> None:
    before, norm = states(model), modeling_llama.LlamaRMSNorm
    installed(patch_norms(change))
    assert told in liger.unusable_because(model)
    assert "forward" not in vars(model.model.norm)
    assert not hasattr(model.model.norm, "in_place")
    assert modeling_llama.LlamaRMSNorm is norm
    assert torch.equal(states(model), before)


def test_running_out_of_memory_is_the_ladders_business(model: Any, installed: Callable[[Patch], None]) -> None:
    def short(_module: Any, _states: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    installed(patch_norms(short))
    with pytest.raises(torch.OutOfMemoryError):
        liger.unusable_because(model)
    assert "forward" not in vars(model.model.norm)


def test_a_family_without_kernels_is_told(tiny_model_of: Callable[[str], Path], installed: Any) -> None:
    installed(patch_norms(same))
    assert "models of the type qwen2" in liger.unusable_because(load_model(tiny_model_of("qwen2"), dtype="float32"))


def test_without_the_package_an_attempt_goes_on_and_says_so(
    rig: Callable[..., Any], model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    monkeypatch.setitem(sys.modules, "liger_kernel", None)
    made = rig()
    wanted, writer = replace(made.plan, use_liger_kernel=True), EventWriter(tmp_path / "attempt-1.jsonl")
    folder = Path(made.recipe.model.name_or_path)
    _, plan = base_model(folder, made.recipe, wanted, writer)
    assert not plan.use_liger_kernel
    (told,) = [stamped.event for stamped in read_events(tmp_path)]
    assert isinstance(told, WarningRaised)
    assert "without Liger's kernels: liger-kernel cannot be imported" in told.text
    values = made.recipe.model_dump(mode="json", exclude_none=True)
    values["training"]["use_liger_kernel"] = True
    with pytest.raises(ModelError, match="Liger's kernels cannot be used"):
        with_liger(model, Recipe.from_values(values), wanted, writer)
