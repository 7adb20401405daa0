"""Weights that go on under a changed plan: nearest product, same step, same rows, a schedule that goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from math import sqrt
from typing import Any

import pytest
import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file

from engine import checkpoints
from engine.carrying import change, continuation, rewarmup_steps, to_continue
from engine.event_log import EventWriter
from engine.events import Event, StepLogged, WarningRaised, WeightsCarried
from engine.plan import Plan
from engine.training.attempt import take_up, train
from engine.training.carry_over import ADAPTER, reshaped, scaling_of, truncated

# peft asks a model of transformers under the old name of a property; it answers as ever.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def factors(rank: int, true_rank: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A (rank, 40) and B (24, rank) whose product has only `true_rank`."""
    numbers = torch.Generator().manual_seed(seed)
    mix = torch.randn(true_rank, rank, generator=numbers)
    return torch.randn(rank, 40, generator=numbers), torch.randn(24, true_rank, generator=numbers) @ mix


def adapter(a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"x.lora_A.weight": a, "x.lora_B.weight": b}


@pytest.mark.parametrize(("true_rank", "rank"), [(1, 4), (4, 4), (3, 2), (8, 4)])
def test_a_rank_is_cut_by_the_best_approximation_of_the_product_exact_where_the_rank_allows(
    true_rank: int, rank: int
) -> None:
    a, b = factors(8, true_rank)
    old_scaling, scaling = 16 / sqrt(8), 16 / sqrt(rank)
    made, error = reshaped(adapter(a, b), adapter(torch.randn(rank, 40), torch.zeros(24, rank)), old_scaling, scaling)
    product = old_scaling * b.double() @ a.double()
    reached = scaling * made["x.lora_B.weight"].double() @ made["x.lora_A.weight"].double()
    values = torch.linalg.svdvals(product)
    assert error == pytest.approx(float((product - reached).norm() / product.norm()), abs=1e-6)
    assert error == pytest.approx(float(values[rank:].norm() / values.norm()), abs=1e-6)
    assert (error < 1e-6) == (true_rank <= rank)


def test_a_layer_that_keeps_its_shape_keeps_its_bits_and_another_is_dropped() -> None:
    a, b = factors(4, 4)
    old = adapter(a, b) | {"y.lora_A.weight": a + 1, "y.lora_B.weight": b + 1, "x.lora_magnitude_vector": b[:, 0]}
    made, error = reshaped(old, adapter(torch.randn(4, 40), torch.zeros(24, 4)), 2.0, 2.0)
    assert set(made) == {"x.lora_A.weight", "x.lora_B.weight"}
    assert torch.equal(made["x.lora_A.weight"], a)
    assert torch.equal(made["x.lora_B.weight"], b)
    assert error == 0.0


def test_a_changed_scaling_or_a_grown_rank_keeps_the_product() -> None:
    a, b = factors(4, 4)
    made, error = reshaped(adapter(a, b), adapter(torch.randn(6, 40), torch.ones(24, 6)), 2.0, 0.5)
    assert error < 1e-6
    assert made["x.lora_A.weight"].shape == (6, 40)


def test_an_adapter_that_has_learned_nothing_yet_is_carried_without_error() -> None:
    a, _ = factors(8, 8)
    made, error = reshaped(adapter(a, torch.zeros(24, 8)), adapter(torch.randn(4, 40), torch.zeros(24, 4)), 2.0, 4.0)
    assert error == 0.0
    assert not made["x.lora_B.weight"].any()
    assert all(torch.isfinite(tensor).all() for tensor in (*made.values(), *truncated(a, torch.zeros(24, 8), 4, 1.0)))


class StopsAfter(EventWriter):
    """The attempt's own writer; once it has written a step, the run is asked to stop, which the next step heeds."""

    def __init__(self, made: Any, step: int) -> None:
        super().__init__(made.run.event_file("attempt-1"))
        self.made, self.step = made, step

    def write(self, event: Event) -> None:
        super().write(event)
        self.made.stop.raised |= isinstance(event, StepLogged) and event.step >= self.step


def interrupted(rig: Callable[..., Any], **sections: Any) -> Any:
    """A run of 12 steps that was stopped after step 5."""
    training = {"max_steps": 12, "save_steps": 100, **sections.pop("training", {})}
    made = rig(rows=40, adapter={"r": 8, "lora_dropout": 0.1, **sections.pop("adapter", {})}, training=training)
    made.train(*made.build(writer=StopsAfter(made, 4)))
    made.stop.raised = False
    return made


def carried(made: Any) -> WeightsCarried:
    (event,) = [event for event in made.events() if isinstance(event, WeightsCarried)]
    return event


def go_on(made: Any, **changes: Any) -> Any:
    """Train to the end under a changed plan; the trainer."""
    changed = dataclasses.replace(made.plan, **changes)
    newest, passed_over = to_continue(made.run.checkpoints, changed)
    assert passed_over == []
    trainer, callback = made.build(**changes)
    newest = take_up(newest, trainer, callback.writer)
    train(trainer, callback, newest, changed, callback.writer)
    return trainer


CHANGES: list[tuple[dict[str, Any], dict[str, Any], tuple[str, ...], bool]] = [
    ({}, {"r": 4}, ("rank 8 -> 4",), False),
    ({"use_rslora": True}, {"r": 4, "use_rslora": True}, ("rank 8 -> 4",), False),
    ({"use_dora": True}, {"use_dora": False}, ("DoRA's magnitudes dropped",), False),
    ({}, {"target_modules": ("q_proj", "v_proj")}, ("adapters kept on q_proj, v_proj",), False),
    ({}, {"optim": "adamw_8bit"}, ("optimizer adamw_torch_fused -> adamw_8bit",), False),
    ({}, {"method": "qlora"}, ("adapter kept on a 4-bit base",), True),
]


@pytest.mark.parametrize(("before", "changes", "words", "kept"), CHANGES, ids=lambda value: str(value)[:40])
def test_what_was_learned_goes_on_at_the_same_step_and_the_same_rows(
    rig: Callable[..., Any], before: dict[str, Any], changes: dict[str, Any], words: tuple[str, ...], kept: bool
) -> None:
    straight = rig(rows=40, adapter={"r": 8} | before, training={"max_steps": 12, "save_steps": 100})
    straight.train(*straight.build())
    made = interrupted(rig, adapter=before)
    told = continuation(made.run.checkpoints, dataclasses.replace(made.plan, **changes))
    assert told[0] == 5
    assert all(word in told[1] for word in words)
    go_on(made, **changes)
    event = carried(made)
    assert (event.step, event.changes, event.optimizer_kept) == (5, words, kept)
    assert event.warmup_steps == (0 if kept else 1)
    assert event.eval_loss_before is not None
    assert event.eval_loss_after is not None
    assert [one.step for one in made.steps()] == list(range(1, 13))
    assert [one.num_tokens for one in made.steps()] == [one.num_tokens for one in straight.steps()]
    assert [one.epoch for one in made.steps()] == [one.epoch for one in straight.steps()]
    rates = {one.step: one.learning_rate for one in straight.steps()}
    expected = {step: rate * (0.5 if step == 6 and not kept else 1.0) for step, rate in rates.items()}
    assert {one.step: one.learning_rate for one in made.steps()} == pytest.approx(expected)
    if "optim" in changes:
        assert event.error == 0.0
        assert event.eval_loss_before == event.eval_loss_after


def test_half_the_rank_is_the_nearest_adapter_and_alpha_stays(rig: Callable[..., Any]) -> None:
    made = interrupted(rig)
    old = load_file(made.run.checkpoints / "checkpoint-5" / ADAPTER)
    trainer, callback = made.build(r=4)
    found, _ = checkpoints.newest(made.run.checkpoints, made.plan.checkpoint_key())
    sealed = take_up(found, trainer, callback.writer)
    assert sealed is not None
    assert checkpoints.fault_of(sealed.path, trainer.key) == ""
    new = get_peft_model_state_dict(trainer.model)
    assert all(torch.equal(tensor, new[name]) for name, tensor in load_file(sealed.path / ADAPTER).items())
    _, error = reshaped(old, {name: tensor.clone() for name, tensor in new.items()}, 1.0, 2.0)
    assert carried(made).error == pytest.approx(error, abs=1e-6)
    assert 0 < error < 0.7
    assert (scaling_of(made.plan.checkpoint_key()), scaling_of(trainer.key)) == (1.0, 2.0)


def test_a_carried_run_that_is_stopped_again_is_the_one_that_was_not(rig: Callable[..., Any]) -> None:
    """Warm-up, fresh optimizer and schedule are remembered by the checkpoints that follow."""
    found = []
    for stops in (False, True):
        made = interrupted(rig, training={"max_steps": 45})
        if stops:
            trainer, callback = made.build(r=4, writer=StopsAfter(made, 6))
            newest, _ = checkpoints.newest(made.run.checkpoints, made.plan.checkpoint_key())
            train(trainer, callback, take_up(newest, trainer, callback.writer), made.plan, callback.writer)
            made.stop.raised = False
        trainer = go_on(made, r=4)
        assert carried(made).warmup_steps == rewarmup_steps(40) == 4
        found.append(
            (
                {one.step: (one.loss, one.learning_rate) for one in made.steps()},
                {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad},
            )
        )
    assert found[0][0] == found[1][0]
    assert all(torch.equal(weight, found[1][1][name]) for name, weight in found[0][1].items())


def test_a_shorter_length_keeps_everything_and_says_where_rows_are_lost(rig: Callable[..., Any]) -> None:
    made = interrupted(rig)
    go_on(made, max_length=12)
    assert not [event for event in made.events() if isinstance(event, WeightsCarried)]
    assert not [event for event in made.events() if isinstance(event, WarningRaised)], "no row lost all its answer"
    assert [one.step for one in made.steps()] == list(range(1, 13))
    lost = interrupted(rig)
    go_on(lost, max_length=8)
    (told,) = [event.text for event in lost.events() if isinstance(event, WarningRaised)]
    assert "step 5 is kept, but the order of rows changes" in told


def test_full_weights_and_an_adapter_are_never_made_of_each_other() -> None:
    lora = {"method": "lora", "r": 8, "lora_alpha": 16, "target_modules": "all-linear", "use_rslora": False}
    lora |= {"use_dora": False, "optim": "adamw_torch"}
    assert change(lora, lora | {"method": "full"}) is None
    assert change(lora | {"method": "full"}, lora) is None
    assert change({}, lora) is None
    same = change(lora, lora)
    assert same is not None
    assert same.words == ()
    other = change(lora | {"method": "full"}, lora | {"method": "full", "optim": "adamw_8bit", "r": 4})
    assert other is not None
    assert (other.words, other.optimizer_kept) == (("optimizer adamw_torch -> adamw_8bit",), False)


def test_full_weights_go_on_under_another_optimizer(rig: Callable[..., Any]) -> None:
    made = rig(adapter={"method": "full"}, training={"max_steps": 6, "save_steps": 100, "learning_rate": 1e-3})
    made.train(*made.build(writer=StopsAfter(made, 2)))
    made.stop.raised = False
    go_on(made, optim="adamw_8bit")
    event = carried(made)
    assert (event.error, event.step) == (0.0, 3)
    assert event.eval_loss_before == event.eval_loss_after
    assert [one.step for one in made.steps()] == list(range(1, 7))


def test_without_a_checkpoint_the_sentence_says_so(rig: Callable[..., Any]) -> None:
    made = rig()
    plan: Plan = made.plan
    assert continuation(made.run.checkpoints, plan) == (0, "starts at step 0: no checkpoint yet")
