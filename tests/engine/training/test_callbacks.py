"""Commands dropped into a run that really trains, in this process, and the events it answers with."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

from engine import checkpoints, control
from engine.event_log import EventWriter
from engine.events import (
    CheckpointSaved,
    CommandAcknowledged,
    EvalLogged,
    Event,
    StepLogged,
    TrainingContinued,
    TrainingPaused,
    WarningRaised,
)

# peft asks a model of transformers under the old name of a property; it answers as ever.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

STEPS = 6
PATIENCE_SECONDS = 60


class TellingWriter(EventWriter):
    """The attempt's own writer, which also hands each event on as soon as it is written."""

    def __init__(self, path: Any) -> None:
        super().__init__(path)
        self.told: queue.Queue[Event | None] = queue.Queue()

    def write(self, event: Event) -> None:
        super().write(event)
        self.told.put(event)

    def wait_for(self, wanted: Callable[[Event], bool]) -> Event:
        """The next event of that kind. Raises queue.Empty when it does not come, AssertionError at the end."""
        while True:
            event = self.told.get(timeout=PATIENCE_SECONDS)
            assert event is not None, "training ended first"
            if wanted(event):
                return event


def step(number: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, StepLogged) and event.step == number


def answer_to(command: control.Command, status: str) -> Callable[[Event], bool]:
    return lambda event: (
        isinstance(event, CommandAcknowledged) and (event.command_id, event.status) == (command.command_id, status)
    )


def paused(event: Event) -> bool:
    return isinstance(event, TrainingPaused)


@pytest.fixture
def watched(rig: Callable[..., Any]) -> Callable[..., tuple[Any, Any, Any]]:
    """Trains while another thread plays a person: it sees events as they are written and leaves commands."""

    def train(person: Callable[[Any, TellingWriter], None], **training: Any) -> tuple[Any, Any, Any]:
        made = rig(training={"max_steps": STEPS, "save_steps": 100, **training})
        writer = TellingWriter(made.run.event_file("attempt-1"))
        trainer, callback = made.build(writer=writer)
        faults: list[BaseException] = []

        def play() -> None:
            try:
                person(made, writer)
            except (AssertionError, queue.Empty) as fault:
                faults.append(fault)
                made.stop.raised = True

        thread = threading.Thread(target=play)
        thread.start()
        made.train(trainer, callback)
        writer.told.put(None)
        thread.join(PATIENCE_SECONDS)
        assert faults == []
        return made, trainer, callback

    return train


def acknowledged(made: Any) -> list[tuple[str, str, str]]:
    events = made.events()
    return [(e.command, e.status, e.reason) for e in events if isinstance(e, CommandAcknowledged)]


def saved_steps(made: Any) -> list[int]:
    return [event.step for event in made.events() if isinstance(event, CheckpointSaved)]


class LeavesCommands:
    """Commands left by the training thread itself, at the very moment an event is written: no race to lose."""

    def __init__(self, made: Any, wanted: Callable[[Event], bool], *names: str) -> None:
        self.made, self.wanted, self.names, self.sent = made, wanted, names, False

    def __call__(self, event: Event) -> None:
        if not self.sent and self.wanted(event):
            self.sent = True
            for name in self.names:
                control.send(self.made.run, name)


@pytest.fixture
def obedient(rig: Callable[..., Any]) -> Callable[..., tuple[Any, Any, Any]]:
    """Trains; `names` are the commands left when the event `wanted` is written."""

    def train(wanted: Callable[[Event], bool], *names: str, **training: Any) -> tuple[Any, Any, Any]:
        made = rig(training={"max_steps": STEPS, "save_steps": 100, **training})

        class Reacting(EventWriter):
            def write(self, event: Event) -> None:
                super().write(event)
                leave(event)

        leave = LeavesCommands(made, wanted, *names)
        trainer, callback = made.build(writer=Reacting(made.run.event_file("attempt-1")))
        made.train(trainer, callback)
        return made, trainer, callback

    return train


def test_every_step_is_told_with_its_numbers(rig: Callable[..., Any]) -> None:
    made = rig(training={"max_steps": 4, "save_steps": 2, "eval_steps": 3})
    trainer, callback = made.build()
    made.train(trainer, callback)
    steps = made.steps()
    assert [event.step for event in steps] == [1, 2, 3, 4]
    assert all(event.max_steps == 4 for event in steps)
    lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    assert sum(event.num_tokens for event in steps[:3]) == sum(lengths), "an epoch's real tokens, none twice"
    assert all(event.rss_bytes > 0 and event.step_seconds > 0 for event in steps)
    assert all(event.data_seconds is not None and 0 <= event.data_seconds < 60 for event in steps)
    assert all(event.grad_norm is not None and event.grad_norm > 0 for event in steps)
    evals = [event for event in made.events() if isinstance(event, EvalLogged)]
    assert [(event.step, event.num_rows) for event in evals] == [(3, 7), (4, 7)]
    assert saved_steps(made) == [2, 4]


def test_only_every_nth_step_is_told_where_the_recipe_says_so(rig: Callable[..., Any]) -> None:
    made = rig(training={"max_steps": 5, "save_steps": 100}, run={"logging_steps": 2})
    made.train(*made.build())
    assert [event.step for event in made.steps()] == [2, 4, 5], "and the last one always"
    assert all(event.num_tokens > 0 for event in made.steps())


def test_a_stop_is_obeyed_at_the_next_step_with_a_checkpoint(obedient: Callable[..., Any]) -> None:
    made, trainer, callback = obedient(step(2), "stop")
    assert trainer.state.global_step == 3
    assert callback.stopped_because == "it was asked for"
    assert acknowledged(made) == [("stop", "accepted", ""), ("stop", "done", "saved at step 3")]
    newest, _ = checkpoints.newest(made.run.checkpoints, trainer.key)
    assert newest is not None
    assert newest.step == 3


def test_a_save_is_obeyed_and_training_goes_on(obedient: Callable[..., Any]) -> None:
    made, trainer, callback = obedient(step(2), "save")
    assert trainer.state.global_step == STEPS
    assert callback.stopped_because == ""
    assert acknowledged(made) == [("save", "accepted", ""), ("save", "done", "saved at step 3")]
    assert saved_steps(made) == [3, STEPS]


def test_a_signal_stops_it_like_the_command(rig: Callable[..., Any]) -> None:
    made = rig(training={"max_steps": STEPS, "save_steps": 100})
    trainer, callback = made.build()
    made.stop.raised = True
    made.train(trainer, callback)
    assert trainer.state.global_step == 1
    assert callback.stopped_because == "a signal asked for it"
    assert saved_steps(made) == [1]


def test_what_changes_nothing_or_is_no_command_is_refused(rig: Callable[..., Any]) -> None:
    made = rig(training={"max_steps": 2, "save_steps": 100})
    control.send(made.run, "continue")
    (made.run.control / "99-broken.json").write_text("{")
    made.train(*made.build())
    assert sorted(acknowledged(made)) == [
        ("continue", "refused", "it changes nothing now"),
        ("unreadable", "refused", "it is no command"),
    ]


def test_an_abort_is_left_for_the_supervisor(rig: Callable[..., Any]) -> None:
    made = rig(training={"max_steps": 2, "save_steps": 100})
    sent = control.send(made.run, "abort")
    made.train(*made.build())
    assert acknowledged(made) == []
    assert control.claim(made.run) == [sent]


def held_until_continued(made: Any) -> int:
    """Where training was paused, checked: no step began between the pause and the word to continue."""
    events = made.events()
    start = next(place for place, event in enumerate(events) if isinstance(event, TrainingPaused))
    end = next(place for place, event in enumerate(events) if isinstance(event, TrainingContinued))
    assert start < end
    assert events[start].step == events[end].step
    between = {event.step for event in events[start:end] if isinstance(event, StepLogged | CheckpointSaved)}
    assert between <= {events[start].step}
    return int(events[start].step)


@pytest.mark.parametrize("save_steps", [100, 1])
def test_a_pause_holds_until_it_is_told_to_continue(watched: Callable[..., Any], save_steps: int) -> None:
    """Two more commands are taken one after the other meanwhile, so it held through more than one look."""

    def person(made: Any, writer: TellingWriter) -> None:
        control.send(made.run, "pause")
        writer.wait_for(paused)
        for _ in range(2):
            writer.wait_for(answer_to(control.send(made.run, "pause"), "refused"))
        control.send(made.run, "continue")

    made, trainer, _ = watched(person, save_steps=save_steps)
    assert held_until_continued(made) < STEPS
    assert trainer.state.global_step == STEPS
    assert [name for name, status, _ in acknowledged(made) if status == "done"] == ["pause", "continue"]


def test_saving_during_a_pause_keeps_the_pause(watched: Callable[..., Any]) -> None:
    def person(made: Any, writer: TellingWriter) -> None:
        control.send(made.run, "pause")
        writer.wait_for(paused)
        for _ in range(2):  # the second finds the checkpoint already there
            writer.wait_for(answer_to(control.send(made.run, "save"), "done"))
        writer.wait_for(answer_to(control.send(made.run, "pause"), "refused"))
        control.send(made.run, "continue")

    made, trainer, _ = watched(person)
    where = held_until_continued(made)
    assert saved_steps(made) == [where, STEPS]
    assert trainer.state.global_step == STEPS


@pytest.mark.parametrize("saved_before", [False, True])
def test_stopping_during_a_pause_saves_and_ends(watched: Callable[..., Any], saved_before: bool) -> None:
    def person(made: Any, writer: TellingWriter) -> None:
        control.send(made.run, "pause")
        writer.wait_for(paused)
        if saved_before:
            writer.wait_for(answer_to(control.send(made.run, "save"), "done"))
        writer.wait_for(answer_to(control.send(made.run, "stop"), "done"))

    made, trainer, callback = watched(person)
    assert callback.stopped_because == "it was asked for"
    where = next(event.step for event in made.events() if isinstance(event, TrainingPaused))
    assert trainer.state.global_step == where
    assert saved_steps(made) == [where]


def test_a_signal_during_a_pause_saves_and_ends(watched: Callable[..., Any]) -> None:
    def person(made: Any, writer: TellingWriter) -> None:
        control.send(made.run, "pause")
        writer.wait_for(paused)
        made.stop.raised = True

    made, trainer, callback = watched(person)
    assert callback.stopped_because == "a signal asked for it"
    assert saved_steps(made) == [trainer.state.global_step]


def test_a_pause_after_the_last_step_is_refused_and_hangs_nothing(obedient: Callable[..., Any]) -> None:
    made, trainer, _ = obedient(step(STEPS - 1), "pause")
    assert trainer.state.global_step == STEPS
    assert acknowledged(made) == [("pause", "refused", "it changes nothing now")]


def test_a_loss_that_is_no_number_is_told_once(rig: Callable[..., Any]) -> None:
    made = rig(training={"max_steps": 3, "save_steps": 100, "learning_rate": 1e30, "max_grad_norm": 1e30})
    made.train(*made.build())
    warned = [event for event in made.events() if isinstance(event, WarningRaised)]
    assert len(warned) == 1
    assert warned[0].text.startswith("the loss of step ")
    assert [event.step for event in made.steps()] == [1, 2, 3]
