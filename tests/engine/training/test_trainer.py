"""The trainer on tiny models: its loss is upstream's, its eval loss exact, and a resumed run is the same run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import TrainerState
from trl import SFTTrainer

from engine import checkpoints
from engine.errors import RunDirError
from engine.event_log import EventWriter, read_events
from engine.events import Event, StepLogged
from engine.run_dir import RunDir
from engine.training.rendering import IGNORED

# peft asks a model of transformers under the old name of a property; it answers as ever.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

LORA: dict[str, Any] = {"method": "lora", "lora_dropout": 0.0}
FULL: dict[str, Any] = {"method": "full"}


def first_batch(trainer: Any) -> dict[str, Any]:
    return dict(trainer._prepare_inputs(next(iter(trainer.get_train_dataloader()))))


def trained_weights(trainer: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}


def loosen(trainer: Any) -> None:
    """Give the adapter weights that do something; fresh, its second matrix is zero."""
    numbers = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=numbers) / 10)


def by_hand(trainer: Any, rows: Sequence[dict[str, list[int]]]) -> tuple[float, int]:
    """Summed loss and number of scored tokens, row by row, from the model's own logits."""
    total, count = 0.0, 0
    trainer.model.eval()
    with torch.no_grad():
        for row in rows:
            logits = trainer.model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
            labels = torch.tensor(row["labels"][1:])
            total += float(cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum"))
            count += int((labels != IGNORED).sum())
    trainer.model.train()
    return total, count


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3", "granite"])
@pytest.mark.parametrize("padding_free", [True, False])
@pytest.mark.parametrize("adapter", [LORA, FULL], ids=["lora", "full"])
def test_the_loss_and_its_gradients_are_upstreams(
    rig: Callable[..., Any], family: str, padding_free: bool, adapter: dict[str, Any]
) -> None:
    trainer, _ = rig(family, adapter=adapter, training={"padding_free": padding_free}).build()
    # A trainable head needs its own gradient, and scaled logits are not those of the head: upstream's way then.
    assert (trainer.head is not None) == (adapter is LORA and family != "granite")
    loosen(trainer)
    for num_items in (None, torch.tensor(37)):
        found = []
        for compute in (trainer.compute_loss, lambda *a, **n: SFTTrainer.compute_loss(trainer, *a, **n)):
            trainer.model.zero_grad()
            loss = compute(trainer.model.train(), first_batch(trainer), num_items_in_batch=num_items)
            loss.backward()
            found.append((loss.detach(), [p.grad.clone() for p in trainer.model.parameters() if p.requires_grad]))
        torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gemma3", "granite"])
@pytest.mark.parametrize("padding_free", [True, False])
@pytest.mark.parametrize("prompt", [True, False])
def test_the_loss_of_a_batch_is_the_mean_over_its_scored_tokens(
    rig: Callable[..., Any], family: str, padding_free: bool, prompt: bool
) -> None:
    made = rig(family, prompt=prompt, rows=8, training={"padding_free": padding_free, "max_steps": 1})
    trainer, callback = made.build()
    total, count = by_hand(trainer, trainer.train_dataset)
    made.train(trainer, callback)
    assert made.steps()[0].loss == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("padding_free", [True, False])
@pytest.mark.parametrize("adapter", [LORA, FULL], ids=["lora", "full"])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 8])
def test_the_eval_loss_does_not_depend_on_the_batch_size(
    rig: Callable[..., Any], padding_free: bool, adapter: dict[str, Any], batch_size: int
) -> None:
    trainer, _ = rig(adapter=adapter, training={"padding_free": padding_free}).build(
        per_device_eval_batch_size=batch_size
    )
    loosen(trainer)
    total, count = by_hand(trainer, trainer.eval_dataset)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(total / count, rel=1e-5)
    assert trainer.model.training, "the model is left as it was"


@pytest.mark.parametrize("adapter", [LORA, FULL], ids=["lora", "full"])
@pytest.mark.parametrize("gradient_checkpointing", [True, False])
def test_with_autocast_every_layer_computes_in_bfloat16(
    rig: Callable[..., Any], adapter: dict[str, Any], gradient_checkpointing: bool
) -> None:
    """Also where the loss goes past the model's own forward, which is all that upstream wraps; and in evaluation."""
    made = rig(adapter=adapter, autocast="bfloat16", training={"max_steps": 1, "eval_steps": 1})
    trainer, callback = made.build(gradient_checkpointing=gradient_checkpointing)
    seen: set[tuple[bool, torch.dtype]] = set()
    decoder = trainer.model.get_decoder()
    for layer in decoder.layers:
        layer.mlp.down_proj.register_forward_hook(lambda module, _, out: seen.add((module.training, out.dtype)))
    trainer.evaluate()
    made.train(trainer, callback)
    assert seen == {(True, torch.bfloat16), (False, torch.bfloat16)}
    assert all(weight.dtype == torch.float32 for weight in trained_weights(trainer).values())


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_measuring_the_eval_loss_changes_nothing_that_is_trained(rig: Callable[..., Any], method: str) -> None:
    """Left to itself, bitsandbytes repacks 4-bit weights in evaluation, and training on would lose its gradients."""
    found = []
    for eval_steps in (None, 1):
        training = {"max_steps": 4, "save_steps": 100} | ({"eval_steps": eval_steps} if eval_steps else {})
        made = rig(adapter={"method": method}, training=training)
        trainer, callback = made.build()
        assert trainer.head is not None
        made.train(trainer, callback)
        found.append((losses(made), trained_weights(trainer)))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(weight, found[1][1][name]) for name, weight in found[0][1].items())


@pytest.mark.parametrize("adapter", [LORA, FULL], ids=["lora", "full"])
@pytest.mark.parametrize("padding_free", [True, False])
def test_micro_batches_change_neither_loss_nor_weights(
    rig: Callable[..., Any], adapter: dict[str, Any], padding_free: bool
) -> None:
    """20 rows, 8 at a time: the third step of the epoch has 4 rows, however they are cut up."""
    losses, weights = [], []
    for size in (8, 4, 2, 1):
        made = rig(
            adapter=adapter,
            training={"padding_free": padding_free, "max_steps": 3, "learning_rate": 1e-3, "save_steps": 100},
        )
        trainer, callback = made.build(per_device_train_batch_size=size, gradient_accumulation_steps=8 // size)
        losses.append([event.loss for event in made.train(trainer, callback) and made.steps()])
        weights.append(trained_weights(trainer))
    for other_losses, other_weights in zip(losses[1:], weights[1:], strict=True):
        assert other_losses == pytest.approx(losses[0], rel=1e-5)
        # AdamW moves a weight by its gradient's sign: one that is zero but for rounding may differ a little.
        torch.testing.assert_close(other_weights, weights[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("adapter", "weights"), [(LORA, "adapter_model.safetensors"), (FULL, "model.safetensors")], ids=["lora", "full"]
)
def test_a_checkpoint_is_complete_sealed_and_alone_in_its_folder(
    rig: Callable[..., Any], adapter: dict[str, Any], weights: str
) -> None:
    made = rig(adapter=adapter, training={"max_steps": 2, "save_steps": 2})
    trainer, callback = made.build()
    made.train(trainer, callback)
    assert [path.name for path in made.run.checkpoints.iterdir()] == ["checkpoint-2"], "nothing is left in staging"
    (sealed,) = made.run.checkpoints.iterdir()
    assert checkpoints.fault_of(sealed, trainer.key) == ""
    listed = set(json.loads((sealed / checkpoints.MANIFEST).read_text())["files"])
    assert {*checkpoints.Progress().required, weights, "tokenizer.json"} <= listed
    assert listed == {path.name for path in sealed.iterdir()} - {checkpoints.MANIFEST}


def test_only_the_newest_checkpoints_are_kept(rig: Callable[..., Any]) -> None:
    made = rig(training={"max_steps": 6, "save_steps": 1, "save_total_limit": 3})
    made.train(*made.build())
    assert sorted(path.name for path in made.run.checkpoints.iterdir()) == [f"checkpoint-{n}" for n in (4, 5, 6)]


def test_saving_twice_at_one_step_writes_one_checkpoint(rig: Callable[..., Any]) -> None:
    made = rig(training={"max_steps": 2, "save_steps": 2})
    trainer, callback = made.build()
    made.train(trainer, callback)
    (sealed,) = made.run.checkpoints.iterdir()
    before = sealed.stat().st_ino
    trainer.save_now()
    assert sealed.stat().st_ino == before


class StopsAfter(EventWriter):
    """The attempt's own writer; once it has written a step, the run is asked to stop, which the next step heeds."""

    def __init__(self, made: Any, step: int) -> None:
        super().__init__(made.run.event_file("attempt-1"))
        self.made, self.step = made, step

    def write(self, event: Event) -> None:
        super().write(event)
        self.made.stop.raised |= isinstance(event, StepLogged) and event.step >= self.step


def losses(made: Any) -> dict[int, float]:
    return {event.step: event.loss for event in made.steps()}


def uninterrupted(make: Callable[[], Any]) -> tuple[dict[int, float], dict[str, torch.Tensor]]:
    made = make()
    trainer = made.train(*made.build())
    return losses(made), trained_weights(trainer)


@pytest.mark.parametrize(
    ("stopped_at", "adapter", "padding_free"),
    [(2, LORA, True), (3, LORA, True), (5, LORA, True), (5, LORA, False), (3, FULL, True)],
)
def test_a_resumed_run_is_the_uninterrupted_run_to_the_last_bit(
    rig: Callable[..., Any], stopped_at: int, adapter: dict[str, Any], padding_free: bool
) -> None:
    """With dropout. An epoch has three steps: it stops within the first, at its end, and within the second."""

    def make() -> Any:
        dropout = {} if adapter is FULL else {"lora_dropout": 0.1}
        training = {"max_steps": 7, "save_steps": 100, "eval_steps": 2, "padding_free": padding_free}
        return rig(adapter=adapter | dropout, training=training)

    expected, weights = uninterrupted(make)
    made = make()
    made.train(*made.build(writer=StopsAfter(made, stopped_at - 1)))
    assert list(losses(made)) == list(range(1, stopped_at + 1))
    made.stop.raised = False
    torch.manual_seed(999)
    trainer = made.train(*made.build())
    assert losses(made) == expected
    assert len(made.steps()) == 7, "no step was repeated"
    for name, weight in trained_weights(trainer).items():
        assert torch.equal(weight, weights[name]), name


def test_falling_back_to_an_older_checkpoint_repeats_its_steps_exactly(rig: Callable[..., Any]) -> None:
    def make() -> Any:
        return rig(adapter={"lora_dropout": 0.1}, training={"max_steps": 6, "save_steps": 2})

    expected, weights = uninterrupted(make)
    made = make()
    made.train(*made.build(writer=StopsAfter(made, 4)))
    shutil.rmtree(made.run.checkpoints / "checkpoint-5")
    made.stop.raised = False
    trainer = made.train(*made.build())
    assert losses(made) == expected
    assert [event.step for event in made.steps()] == [1, 2, 3, 4, 5, 5, 6]
    assert all(torch.equal(weight, weights[name]) for name, weight in trained_weights(trainer).items())


@pytest.mark.parametrize(
    ("read", "last"), [("load_from_json", 3), ("_load_optimizer_and_scheduler", 3), ("_load_from_checkpoint", 6)]
)
def test_nothing_goes_on_from_a_checkpoint_that_is_moved_while_it_is_read(
    rig: Callable[..., Any], read: str, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the steps, and after the last one."""
    made = rig(training={"max_steps": 6, "save_steps": 2})
    made.train(*made.build(writer=StopsAfter(made, last - 1)))
    made.stop.raised = False
    trainer, callback = made.build()
    reader: Any = TrainerState if read == "load_from_json" else trainer
    load, moved = getattr(reader, read), made.run.path.with_name("moved")

    def load_and_move(*arguments: Any) -> Any:
        loaded = load(*arguments)
        made.run.path.rename(moved)
        return loaded

    monkeypatch.setattr(reader, read, load_and_move)
    with pytest.raises(RunDirError, match="moved or removed while it was read"):
        made.train(trainer, callback)
    steps = [each.event.step for each in read_events(RunDir(moved).events) if isinstance(each.event, StepLogged)]
    assert steps == list(range(1, last + 1))


def test_nothing_is_saved_at_the_old_place_of_a_run_that_was_moved(rig: Callable[..., Any]) -> None:
    made = rig(training={"max_steps": 6, "save_steps": 2})
    moved = made.run.path.with_name("moved")

    class MovesAfterThree(EventWriter):
        def write(self, event: Event) -> None:
            super().write(event)
            if isinstance(event, StepLogged) and event.step == 3:
                made.run.path.rename(moved)

    with pytest.raises(RunDirError, match="moved or removed while the run went on"):
        made.train(*made.build(writer=MovesAfterThree(made.run.event_file("attempt-1"))))
    assert not made.run.path.exists()
    assert [path.name for path in (moved / "checkpoints").glob("checkpoint-*")] == ["checkpoint-2"]


def test_of_a_run_that_is_moved_while_it_is_saved_no_part_becomes_a_checkpoint(
    rig: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rig(training={"max_steps": 6, "save_steps": 2})
    moved = made.run.path.with_name("moved")
    trainer, callback = made.build()
    save = trainer.save_model

    def save_and_move(folder: str, **named: Any) -> None:
        save(folder, **named)
        made.run.path.rename(moved)
        Path(folder).mkdir(parents=True)  # as transformers does before each part

    monkeypatch.setattr(trainer, "save_model", save_and_move)
    with pytest.raises(RunDirError, match="moved or removed while the run went on"):
        made.train(trainer, callback)
    assert list(made.run.checkpoints.glob("checkpoint-*")) == []
    assert list((moved / "checkpoints").glob("checkpoint-*")) == []


def test_resuming_with_half_the_micro_batch_keeps_order_and_losses(rig: Callable[..., Any]) -> None:
    """What the ladder does: the rows of a step are the same, so are its loss and, but for rounding, the weights."""

    def make() -> Any:
        return rig(training={"max_steps": 7, "save_steps": 100, "optim": "adamw_torch"})

    straight = make()
    weights = trained_weights(straight.train(*straight.build()))
    made = make()
    made.train(*made.build(writer=StopsAfter(made, 3)))
    made.stop.raised = False
    trainer = made.train(*made.build(per_device_train_batch_size=4, gradient_accumulation_steps=2))
    assert [event.num_tokens for event in made.steps()] == [event.num_tokens for event in straight.steps()]
    assert losses(made) == pytest.approx(losses(straight), rel=1e-4)
    torch.testing.assert_close(trained_weights(trainer), weights, rtol=1e-2, atol=1e-3)


def test_a_run_that_has_its_last_step_trains_nothing_more(rig: Callable[..., Any]) -> None:
    made = rig(training={"max_steps": 3, "save_steps": 3})
    weights = trained_weights(made.train(*made.build()))
    again = made.train(*made.build())
    assert again.state.global_step == 3
    assert len(made.steps()) == 3
    assert all(torch.equal(weight, weights[name]) for name, weight in trained_weights(again).items())


def test_every_row_is_seen_once_an_epoch_in_an_order_of_its_own(rig: Callable[..., Any]) -> None:
    made = rig(training={"num_train_epochs": 2})
    trainer, callback = made.build()
    order: list[list[int]] = []
    trainer.model.get_decoder().embed_tokens.register_forward_hook(lambda _, given, __: order.append(given[0].tolist()))
    made.train(trainer, callback)
    rows = trainer.train_dataset["input_ids"]
    seen = [token for batch in order for token in batch[0]]
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert sorted(first) == sorted(second) == sorted(token for row in rows for token in row)
    assert first != second
    assert first != [token for row in rows for token in row]
