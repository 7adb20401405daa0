"""Greedy answers of tiny real models equal transformers' own, row by row, whatever is shared or batched."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import OutOfMemoryError
from engine.evaluation.generation import Limits, common_prefix, generate, has_plain_attention
from engine.evaluation.smaller_batches import generate_within_memory
from engine.event_log import EventWriter, read_events
from engine.events import WarningRaised

LIMITS = Limits(stop_ids=frozenset({999}), max_new_tokens=12, batch_size=8, pad_id=0)
FAMILIES = ["llama", "qwen2", "granite", "gemma3", "gemma3 in its window"]


@pytest.fixture
def model_of(tiny_model_of: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Any]:
    from engine.training.model_loading import load_model

    def load(family: str) -> Any:
        folder = tiny_model_of(family.split()[0])
        if family.endswith("in its window"):
            folder = shutil.copytree(folder, tmp_path / "wide")
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(config | {"sliding_window": 512}))
        return load_model(folder, dtype="float32")

    return load


@pytest.fixture
def model(model_of: Callable[[str], Any]) -> Any:
    return model_of("llama")


def some_prompts(count: int = 20, shared: int = 9) -> list[list[int]]:
    """Prompts of many lengths, some of them alike, with the same beginning."""
    numbers = random.Random(3)
    start = [numbers.randrange(5, 300) for _ in range(shared)]
    return [start + [numbers.randrange(5, 300) for _ in range(numbers.randint(1, 14))] for _ in range(count)]


def one_by_one(model: Any, prompts: Sequence[Sequence[int]], limits: Limits) -> dict[int, list[int]]:
    """transformers' own greedy answers, each prompt alone: nothing padded, nothing shared."""
    import torch

    answers = {}
    for index, prompt in enumerate(prompts):
        ids = torch.tensor([list(prompt)])
        whole = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=limits.max_new_tokens,
            eos_token_id=sorted(limits.stop_ids),
            pad_token_id=0,
        )
        new_ids = whole[0, len(prompt) :].tolist()
        answers[index] = new_ids[:-1] if new_ids[-1] in limits.stop_ids else new_ids
    return answers


@pytest.mark.parametrize("family", FAMILIES)
def test_batched_answers_equal_those_of_each_prompt_alone(model_of: Callable[[str], Any], family: str) -> None:
    model, prompts = model_of(family), some_prompts()
    assert dict(generate(model, prompts, LIMITS)) == one_by_one(model, prompts, LIMITS)


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_without_a_common_beginning_are_answered_the_same(model_of: Callable[[str], Any], family: str) -> None:
    model, prompts = model_of(family), [[place + 5, *prompt] for place, prompt in enumerate(some_prompts(12))]
    assert common_prefix(prompts) == []
    assert dict(generate(model, prompts, LIMITS)) == one_by_one(model, prompts, LIMITS)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_size_changes_nothing(model: Any, batch_size: int) -> None:
    prompts = some_prompts()
    expected = dict(generate(model, prompts, LIMITS))
    assert dict(generate(model, prompts, replace(LIMITS, batch_size=batch_size))) == expected


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_a_row_ends_at_a_stop_token_which_is_no_part_of_its_answer(model_of: Callable[[str], Any], family: str) -> None:
    model, prompts = model_of(family), some_prompts()
    free = one_by_one(model, prompts, LIMITS)
    stops = frozenset({free[0][4], free[7][2], free[11][0]})
    answers = dict(generate(model, prompts, replace(LIMITS, stop_ids=stops)))
    assert answers == {
        row: ids[: next((place for place, token in enumerate(ids) if token in stops), len(ids))]
        for row, ids in free.items()
    }
    assert len({len(ids) for ids in answers.values()}) > 2


def test_rows_that_are_complete_leave_the_others_as_they_are(model: Any) -> None:
    prompts = some_prompts()
    free = one_by_one(model, prompts, LIMITS)

    def is_complete(new_ids: Sequence[int]) -> bool:
        return len(new_ids) > new_ids[0] % 11

    answers = dict(generate(model, prompts, replace(LIMITS, is_complete=is_complete)))
    assert answers == {row: ids[: 1 + ids[0] % 11] for row, ids in free.items()}
    assert len({len(ids) for ids in answers.values()}) > 4


def test_bfloat16_autocast_and_a_single_prompt_work(model: Any) -> None:
    ((row, new_ids),) = generate(model, [[7, 8, 9]], replace(LIMITS, autocast="bfloat16"))
    assert (row, len(new_ids)) == (0, LIMITS.max_new_tokens)
    assert list(generate(model, [], LIMITS)) == []


def test_a_prompt_without_a_token_is_misuse(model: Any) -> None:
    with pytest.raises(ValueError, match="without a token"):
        list(generate(model, [[5], []], LIMITS))


def test_the_common_beginning_leaves_every_prompt_a_token_of_its_own() -> None:
    assert common_prefix([[1, 2, 3], [1, 2, 3]]) == [1, 2]
    assert common_prefix([[1, 2], [1, 2, 3, 4]]) == [1]
    assert common_prefix([[1, 2, 9], [1, 2, 3, 4], [1, 5, 3]]) == [1]
    assert common_prefix([[1, 2, 3]]) == []


def test_rows_share_nothing_once_they_outgrow_a_sliding_window(model_of: Callable[[str], Any]) -> None:
    assert has_plain_attention(model_of("llama"), 10_000)
    assert has_plain_attention(model_of("gemma3"), 8)
    assert not has_plain_attention(model_of("gemma3"), 9)


def exhaust_memory_above(model: Any, num_rows: int) -> None:
    """Every batch of more rows asks the CPU's allocator for what no machine has."""
    import torch

    def ask_too_much(_module: Any, _arguments: Any, named: dict[str, Any]) -> None:
        if named["input_ids"].shape[0] > num_rows:
            torch.empty(1 << 60, dtype=torch.uint8)

    model.register_forward_pre_hook(ask_too_much, with_kwargs=True)


def test_when_memory_runs_out_the_rest_goes_on_in_smaller_batches(model: Any, tmp_path: Path) -> None:
    prompts = dict(enumerate(some_prompts()))
    expected = dict(generate(model, list(prompts.values()), LIMITS))
    exhaust_memory_above(model, 2)
    writer = EventWriter(tmp_path / "evaluate.jsonl")
    assert dict(generate_within_memory(model, prompts, LIMITS, writer)) == expected
    warnings = [stamped.event for stamped in read_events(tmp_path)]
    assert len(warnings) == 2
    assert isinstance(warnings[-1], WarningRaised)
    assert "batches of 2" in warnings[-1].text


def test_when_a_single_row_is_too_much_the_error_says_what_is_safe(model: Any, tmp_path: Path) -> None:
    exhaust_memory_above(model, 0)
    writer = EventWriter(tmp_path / "evaluate.jsonl")
    with pytest.raises(OutOfMemoryError, match="single test row") as caught:
        list(generate_within_memory(model, {3: [5, 6]}, LIMITS, writer))
    assert "adapter is safe" in caught.value.means
