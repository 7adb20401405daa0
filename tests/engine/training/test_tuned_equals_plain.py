"""What a plan picks makes a step faster, not another one: its losses are those of the plainest way of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.bundled_models import BUNDLED_MODELS, bundled_file
from engine.run_dir import cache_dir

# peft asks a model of transformers under the old name of a property; it answers as ever.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
PLAIN: dict[str, Any] = {
    "padding_free": False,
    "fused_loss": False,
    "train_sampling_strategy": "random",
    "use_liger_kernel": False,
}
"""Padded rows in random order, and the model's own loss of all logits."""


def losses(rig: Callable[..., Any], steps: int, *, plain: bool, **named: Any) -> list[float]:
    training = {"max_steps": steps, "learning_rate": 1e-3, "save_steps": 1000} | (PLAIN if plain else {})
    made = rig(training=training, **named)
    assert (made.plan.padding_free, made.plan.fused_loss) == (not plain, not plain)
    made.train(*made.build(per_device_train_batch_size=2, gradient_accumulation_steps=3))
    return [step.loss for step in made.steps()]


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_the_tuned_plan_has_the_losses_of_the_plain_one(rig: Callable[..., Any], family: str) -> None:
    plain, tuned = (losses(rig, 4, plain=plain, family=family) for plain in (True, False))
    assert tuned == pytest.approx(plain, rel=1e-5)


@pytest.mark.slow(seconds=40)
def test_the_tuned_plan_has_the_losses_of_the_plain_one_on_the_bundled_model(rig: Callable[..., Any]) -> None:
    """Six steps in the type that this CPU computes fastest; 16 bits round differently when rows are joined."""
    from engine.training.gguf_conversion import convert

    folder = convert(bundled_file(BUNDLED_MODELS[0]), cache_dir()).folder
    named: dict[str, Any] = {"folder": folder, "autocast": "bfloat16", "rows": 36}
    plain, tuned = (losses(rig, 6, plain=plain, **named) for plain in (True, False))
    assert len(plain) == 6
    assert plain[-1] < plain[0]
    assert tuned == pytest.approx(plain, rel=5e-3)
