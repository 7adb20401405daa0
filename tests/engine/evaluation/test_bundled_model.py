"""The bundled model answers rows of its demo: the same answers whatever the batch, and examples teach the form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from data.conversation import Conversation, single_turn
from data.generators import generator_named
from engine.bundled_models import BUNDLED_MODELS, bundled_file
from engine.evaluation.generation import Limits, generate
from engine.evaluation.prompts import one_per_group, question
from engine.evaluation.scoring import Scorer
from engine.run_dir import cache_dir

pytestmark = pytest.mark.slow(seconds=25)
SYSTEM = "You translate requests into venvy commands."
SCORER = Scorer(r"^COMMAND:[ \t]*(.*?)[ \t]*$", r"^COMMAND:[ \t]*venvy[ \t]+(\S+)")


@pytest.fixture(scope="module")
def rows() -> list[Conversation]:
    made = generator_named("venvy").rows(200, 42)
    return [
        single_turn("\n".join(filter(None, (row["instruction"], row["input"]))), row["output"], line, system=SYSTEM)
        for line, row in enumerate(made, 1)
    ]


@pytest.fixture(scope="module")
def answerer() -> Any:
    """(model, tokenizer, prompt_ids, limits): the bundled model in float32, answers of at most 24 tokens."""
    from engine.training.gguf_conversion import convert
    from engine.training.model_loading import load_model
    from engine.training.rendering import Renderer
    from engine.training.tokenizer_loading import load_tokenizer

    folder = convert(bundled_file(BUNDLED_MODELS[0]), cache_dir()).folder
    tokenizer = load_tokenizer(folder)
    renderer = Renderer(tokenizer, "chat", True)
    limits = Limits(frozenset(renderer.stop_ids()), max_new_tokens=24, batch_size=20, pad_id=tokenizer.pad_token_id)
    return load_model(folder, dtype="float32"), tokenizer, renderer.prompt_ids, limits


def test_the_bundled_model_answers_alike_in_batches_of_any_size(answerer: Any, rows: list[Conversation]) -> None:
    model, _, prompt_ids, limits = answerer
    prompts = [prompt_ids(question(row)) for row in rows[:10]]
    together = dict(generate(model, prompts, limits))
    apart = dict(generate(model, prompts, replace(limits, batch_size=3)))
    assert sum(together[row] == apart[row] for row in range(10)) >= 9


def test_examples_in_the_prompt_teach_the_bundled_model_the_form_of_an_answer(
    answerer: Any, rows: list[Conversation]
) -> None:
    model, tokenizer, prompt_ids, limits = answerer

    def is_complete(new_ids: Sequence[int]) -> bool:
        return SCORER.is_settled(tokenizer.decode(new_ids))

    shots = one_per_group(rows[20:], SCORER)
    assert len(shots) == 7
    prompts = [prompt_ids(question(row, shots)) for row in rows[:20]]
    answers = dict(generate(model, prompts, replace(limits, is_complete=is_complete)))
    judged = [SCORER.judge(rows[row].answer, tokenizer.decode(ids)) for row, ids in answers.items()]
    assert sum(row.found is not None for row in judged) >= 18
    assert max(len(ids) for ids in answers.values()) <= limits.max_new_tokens
