"""The worker in this process: it answers as the models do when they are scored, side by side, and can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.conversation import Message
from engine.chat.settings import Settings
from engine.chat.sides import Side, sides_of
from engine.chat.speakers import manner_of, speakers_of
from engine.chat.worker import Worker
from engine.evaluation.contenders import Contenders
from engine.evaluation.generation import Limits, generate
from engine.evaluation.streaming import Streamer
from tests.engine.evaluation.conftest import SYSTEM, Rig

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

QUESTION = "please do number 7 now"


def asked(sides: Sequence[Side], turns: list[dict[str, str]] | None = None, **settings: Any) -> dict[str, Any]:
    turns = turns or [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    chosen = Settings(**({"max_new_tokens": 8} | settings))
    return {"ask": 1, "turns": {side.name: turns for side in sides}, "settings": chosen.to_json()}


def told_by(sides: Sequence[Side], *questions: dict[str, Any]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    worker = Worker(told.append)
    for question in (*questions, None):
        worker.asked.put(question)
    assert worker.run(sides) == 0
    return told


def text_of(told: list[dict[str, Any]], side: str) -> str:
    return "".join(each["text"] for each in told if each.get("side") == side and "text" in each)


def scored_answer(made: Rig, model: Any) -> str:
    """What the loop of the scores makes of the question."""
    manner = manner_of(made.run)
    ids = manner.prompt_ids((Message("system", SYSTEM), Message("user", QUESTION)))
    limits = Limits(manner.stop_ids, max_new_tokens=8, batch_size=1, pad_id=0)
    ((_, new_ids),) = generate(model, [ids], limits)
    return manner.text(new_ids)


def test_both_sides_answer_as_they_do_when_they_are_scored(rig: Callable[..., Rig]) -> None:
    made = rig()
    sides = sides_of(made.run, None, "base")
    told = told_by(sides, asked(sides), asked(sides))
    ready = next(each["ready"] for each in told if "ready" in each)
    assert ready["system"] == SYSTEM
    contenders = Contenders(made.run, made.recipe, made.plan)
    base, tuned = scored_answer(made, contenders.base()), scored_answer(made, contenders.tuned())
    assert base != tuned
    assert (text_of(told, "base"), text_of(told, "tuned")) == (base * 2, tuned * 2)
    assert [each["side"] for each in told if "ended" in each].count("tuned") == 2
    assert told[-1] == {"number": 1, "done": True}


def test_base_and_tuned_share_one_model_in_memory_whichever_comes_first(rig: Callable[..., Rig]) -> None:
    made = rig()
    for sides in (sides_of(made.run, None, "base"), sides_of(made.run, "base", "adapter")):
        one, other = speakers_of(sides, lambda _: None)
        assert one._turn is not None
        assert other._turn is not None
        assert one._turn.switch is other._turn.switch


def test_a_fully_trained_model_and_its_base_stand_beside_each_other(rig: Callable[..., Rig]) -> None:
    made = rig(method="full")
    sides = sides_of(made.run, None, "base")
    told = told_by(sides, asked(sides))
    assert text_of(told, "tuned") != text_of(told, "base")


def test_a_conversation_goes_on_from_what_was_read_and_gives_the_same_answer(rig: Callable[..., Rig]) -> None:
    made = rig()
    model: Any = Contenders(made.run, made.recipe, made.plan).base()
    limits = Limits(frozenset(), max_new_tokens=6, batch_size=1, pad_id=0)
    streamer = Streamer(model)
    first = list(streamer.stream([5, 6, 7, 8], limits))
    longer = [5, 6, 7, 8, *first, 9, 10]
    expected = list(Streamer(model).stream(longer, limits))
    assert list(streamer.stream(longer, limits)) == expected
    assert list(streamer.stream([5, 6, 7, 8], limits)) == first
    assert list(streamer.stream([5, 6], limits)) == list(Streamer(model).stream([5, 6], limits))


def test_a_chosen_temperature_is_repeated_by_its_seed(rig: Callable[..., Rig]) -> None:
    sides = sides_of(rig().run, None, None)
    seeds = [told_by(sides, asked(sides, temperature=1.5, seed=seed)) for seed in (1, 1, 2)]
    one, again, other = (text_of(each, "tuned") for each in seeds)
    assert one == again
    assert one != other


def test_a_stop_ends_the_answer_and_the_next_question_is_answered(rig: Callable[..., Rig]) -> None:
    sides = sides_of(rig().run, None, None)
    told: list[dict[str, Any]] = []
    worker = Worker(told.append)

    def tell(message: dict[str, Any]) -> None:
        told.append(message)
        if "text" in message:
            worker.stopping.set()
        if message.get("done"):
            worker.stopping.clear()

    worker.tell = tell
    for question in (asked(sides, max_new_tokens=200), asked(sides, max_new_tokens=1), None):
        worker.asked.put(question)
    worker.run(sides)
    stopped, ended = (each for each in told if "ended" in each)
    assert stopped["is_stopped"]
    assert stopped["num_tokens"] < 200
    assert ended["num_tokens"] <= 1
    assert [each.get("done") for each in told].count(True) == 2


def test_a_question_that_is_too_long_is_refused_and_the_models_stay(rig: Callable[..., Rig]) -> None:
    sides = sides_of(rig().run, None, None)
    long = asked(sides, [{"role": "user", "content": "now " * 2000}])
    told = told_by(sides, long, asked(sides))
    assert "the model reads 512" in next(each["error"]["happened"] for each in told if "error" in each)
    assert text_of(told, "tuned")


def test_old_turns_that_outgrow_the_context_are_left_out_and_said(rig: Callable[..., Rig]) -> None:
    sides = sides_of(rig().run, None, None)
    turns = [
        {"role": "user", "content": "now " * 240},
        {"role": "assistant", "content": "venvy " * 120},
        {"role": "user", "content": QUESTION},
    ]
    told = told_by(sides, asked(sides, turns))
    assert next(each["num_dropped"] for each in told if "ended" in each) == 2


def test_rows_that_are_completed_are_asked_one_by_one(rig: Callable[..., Rig]) -> None:
    sides = sides_of(rig(rendering="plain").run, None, None)
    last = [{"role": "user", "content": QUESTION}]
    past = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, *last]
    told = told_by(sides, asked(sides, past))
    assert any("asked by itself" in note for each in told if "ready" in each for note in each["ready"]["notes"])
    assert text_of(told, "tuned") == text_of(told_by(sides, asked(sides, last)), "tuned")


def test_a_card_that_is_not_here_is_replaced_by_the_cpu(rig: Callable[..., Rig]) -> None:
    import json

    made = rig()
    made.run.plan(1).write_text(json.dumps(replace(made.plan, device="cuda:0").to_json()))
    assert manner_of(made.run).plan.device == "cpu"


def test_a_gguf_file_answers_beside_the_base_and_by_chance_as_its_seed_says(
    rig: Callable[..., Rig], tiny_model_folder: Path
) -> None:
    pytest.importorskip("llama_cpp")
    from engine.gguf_writing import write_gguf

    run = rig().run
    (run.exports / "gguf").mkdir(parents=True)
    write_gguf(tiny_model_folder, run.exports / "gguf" / "tiny-F16.gguf", name="tiny")
    sides = sides_of(run, "base", "gguf")
    told = told_by(sides, asked(sides))
    assert text_of(told, "gguf-F16") == text_of(told, "base")
    seeds = [told_by(sides[1:], asked(sides[1:], temperature=2.0, seed=seed)) for seed in (1, 1, 2)]
    one, again, other = (text_of(each, "gguf-F16") for each in seeds)
    assert one == again
    assert one != other
