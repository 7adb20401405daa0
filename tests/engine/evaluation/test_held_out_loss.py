"""The loss of rows nobody trained on: that of the model's own labels, row by row, however rows are batched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.evaluation import held_out_loss
from engine.evaluation.generation import Limits
from engine.evaluation.held_out_loss import IGNORED, losses

LIMITS = Limits(frozenset(), max_new_tokens=4, batch_size=3, pad_id=0)


def row(length: int, prompt: int, *, shift: int = 0, start: Sequence[int] = ()) -> tuple[list[int], list[int]]:
    ids = [*start, *((7 * n + shift) % 200 + 10 for n in range(length - len(start)))]
    return ids, [IGNORED] * prompt + ids[prompt:]


def of_upstream(model: Any, each: tuple[Sequence[int], Sequence[int]]) -> float:
    """transformers' own loss of one row alone."""
    import torch

    with torch.inference_mode():
        ids, labels = (torch.tensor([list(part)]) for part in each)
        return float(model(input_ids=ids, labels=labels).loss)


@pytest.fixture(params=["llama", "qwen2", "granite", "gemma3"])
def model(request: pytest.FixtureRequest, tiny_model_of: Any) -> Any:
    from engine.training.model_loading import load_model

    return load_model(Path(tiny_model_of(request.param)), dtype="float32")


def test_the_loss_of_each_row_is_that_of_transformers_for_the_row_alone(model: Any) -> None:
    rows = {number: row(9 + 3 * number, 4 + number % 3, shift=number) for number in range(5)}
    found = {number: (mean, count) for number, mean, count in losses(model, rows, LIMITS)}
    assert sorted(found) == list(rows)
    for number, each in rows.items():
        mean, count = found[number]
        assert mean == pytest.approx(of_upstream(model, each), abs=1e-4)
        assert count == len(each[0]) - (4 + number % 3)


def test_what_all_rows_begin_with_is_computed_once_and_changes_no_loss(model: Any) -> None:
    start = [3 * n + 11 for n in range(14)]
    rows = {number: row(20 + number, 17, shift=number, start=start) for number in range(4)}
    for number, mean, count in losses(model, rows, replace(LIMITS, batch_size=2)):
        assert mean == pytest.approx(of_upstream(model, rows[number]), abs=1e-4)
        assert count == 3 + number


def test_rows_without_a_scored_token_have_no_loss(tiny_model_folder: Path) -> None:
    from engine.training.model_loading import load_model

    tiny = load_model(tiny_model_folder, dtype="float32")
    ids, _ = row(6, 6)
    only_first = [ids[0], *[IGNORED] * 5]
    assert list(losses(tiny, {0: (ids, [IGNORED] * 6), 1: (ids, only_first)}, LIMITS)) == []


def test_batches_hold_no_more_positions_than_the_head_has_room_for(
    tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.training.model_loading import load_model

    tiny = load_model(tiny_model_folder, dtype="float32")
    seen: list[int] = []
    head: Any = tiny.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[0].shape[:2].numel()))
    monkeypatch.setattr(held_out_loss, "LOGITS_AT_ONCE", 20 * tiny.config.vocab_size)
    rows = {number: row(14, 4, shift=number) for number in range(5)}
    assert len(list(losses(tiny, rows, LIMITS))) == 5
    hook.remove()
    assert max(seen) <= 14 * 2
