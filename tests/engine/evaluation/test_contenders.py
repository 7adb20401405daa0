"""Base and tuned model: what is loaded, in which precision, and that merging changes nothing."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.evaluation.contenders import Contenders, precision, with_adapter

# Of peft 0.21, with transformers 5.23; a run's own processes are started with it ignored.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def logits(model: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model(torch.arange(40).reshape(2, 20)).logits.float()


def test_a_merged_adapter_computes_what_the_adapter_beside_its_base_computes(rig: Callable[..., Any]) -> None:
    import torch

    made = rig()
    contenders = Contenders(made.run, made.recipe, made.plan)
    beside = logits(with_adapter(contenders.base(), made.run.adapter, merge=False))
    contenders.free()
    plain = logits(contenders.base())
    merged = contenders.tuned()
    assert not [name for name, _ in merged.named_modules() if "lora" in name]
    torch.testing.assert_close(logits(merged), beside, rtol=0, atol=1e-4)
    assert (plain - beside).abs().max() > 1


def test_merging_into_bfloat16_weights_rounds_no_more_than_bfloat16_does_anyway(rig: Callable[..., Any]) -> None:
    made = rig()
    exact = logits(Contenders(made.run, made.recipe, made.plan).tuned())
    halved = Contenders(made.run, made.recipe, replace(made.plan, autocast="bfloat16"))
    beside = logits(with_adapter(halved.base(), made.run.adapter, merge=False))
    halved.free()
    merged = logits(halved.tuned())
    assert (merged - exact).abs().mean() < 1.5 * (beside - exact).abs().mean()


def test_weights_are_held_in_the_type_that_training_computed_in(rig: Callable[..., Any]) -> None:
    made = rig(autocast="bfloat16")
    assert str(Contenders(made.run, made.recipe, made.plan).base().dtype) == "torch.bfloat16"
    assert precision(made.plan) == ("bfloat16", "none")
    assert precision(replace(made.plan, autocast="none")) == ("float32", "none")
    assert precision(replace(made.plan, dtype="float16", autocast="float16")) == ("float16", "float16")


def test_the_base_is_loaded_once_and_used_up_by_the_tuned_model(rig: Callable[..., Any]) -> None:
    made = rig()
    contenders = Contenders(made.run, made.recipe, made.plan)
    base = contenders.base()
    assert contenders.base() is base
    before = logits(base)
    contenders.tuned()
    assert (logits(contenders.base()) - before).abs().max() == 0


def test_a_whole_trained_model_is_loaded_after_the_base_has_gone(rig: Callable[..., Any]) -> None:
    made = rig(method="full")
    contenders = Contenders(made.run, made.recipe, made.plan)
    before = logits(contenders.base())
    base = weakref.ref(contenders.base())
    tuned = contenders.tuned()
    gc.collect()
    assert base() is None
    assert (logits(tuned) - before).abs().max() > 0.1
