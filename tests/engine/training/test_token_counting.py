"""Tokens counted row by row against rendering the rows and adding up."""

from __future__ import annotations

import io
import json
from array import array
from pathlib import Path
from typing import Any

import pytest

from data.conversation import Conversation
from data.loading import Rows
from engine.errors import DataError, ModelError
from engine.length_advice import token_report
from engine.recipe import Recipe
from engine.row_preview import RowPreview
from engine.token_counts import Loss, TokenCounting, TokenCounts, model_files
from engine.training.rendering import IGNORED, Renderer
from engine.training.row_previewing import placed
from engine.training.token_counting import count

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"say {number}"},
            {"role": "assistant", "content": "yes " * number},
            {"role": "user", "content": "again"},
            {"role": "assistant", "content": "no " * number},
        ]
    }
    for number in range(1, 81)
]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS[:40], {"messages": []}, *ROWS[40:]]))
    return path


def recipe(model: Path | str, dataset: Path, max_length: int = 100, **data: Any) -> Recipe:
    return Recipe.from_values(
        {
            "model": {"name_or_path": str(model)},
            "data": {"dataset": str(dataset), "eval_fraction": 0, "test_fraction": 0} | data,
            "training": {"max_length": max_length},
            "evaluation": {"enabled": False},
        }
    )


def counted(asked: Recipe, tokenizer: Any, num_rows: int = len(ROWS), sample: int = 0) -> TokenCounts:
    into = io.BytesIO()
    renderer = Renderer(tokenizer, "chat", completion_only_loss=True, trained_answers=asked.data.trained_answers)
    *_, told = count(asked, renderer, into, num_rows, sample)
    lengths = array("I")
    lengths.frombytes(into.getvalue())
    losses = tuple(Loss(**loss) for loss in told.pop("losses"))
    return TokenCounts(lengths, num_rows, losses=losses, **told)


def test_lengths_and_losses_are_those_of_the_rendered_rows(dataset: Path, tiny_models: Any) -> None:
    tokenizer = tiny_models.tiny_tokenizer("chatml")
    renderer = Renderer(tokenizer, "chat", completion_only_loss=True)
    rendered = [renderer.render(row.example) for row in Rows(str(dataset)) if isinstance(row.example, Conversation)]
    found = counted(recipe("a/b", dataset), tokenizer)
    assert list(found.lengths) == [len(row.input_ids) for row in rendered]
    assert found.num_trained == sum(row.num_trained for row in rendered)
    for limit in (64, 100, 128):
        over = [row for row in rendered if len(row.input_ids) > limit]
        assert found.loss_at(limit) == Loss(
            limit,
            len(over),
            sum(len(row.input_ids) - limit for row in over),
            sum(label != IGNORED for row in over for label in row.labels[limit:]),
            sum(all(label == IGNORED for label in row.labels[1:limit]) for row in over),
        )


def test_only_the_last_answers_are_counted_as_trained_where_that_is_asked(dataset: Path, tiny_models: Any) -> None:
    tokenizer = tiny_models.tiny_tokenizer("chatml")
    every = counted(recipe("a/b", dataset), tokenizer)
    last = counted(recipe("a/b", dataset, trained_answers="last"), tokenizer)
    assert list(last.lengths) == list(every.lengths)
    assert 0 < last.num_trained < every.num_trained
    assert last.loss_at(128).num_without_answer > every.loss_at(128).num_without_answer


def test_a_sample_is_the_same_each_time_and_its_errors_are_stated(dataset: Path, tiny_models: Any) -> None:
    tokenizer = tiny_models.tiny_tokenizer("chatml")
    found = counted(recipe("a/b", dataset), tokenizer, sample=20)
    assert found.is_sample
    assert len(found.lengths) == 20
    assert found.lengths == counted(recipe("a/b", dataset), tokenizer, sample=20).lengths
    report = token_report(found, 100, 8)
    low, high = report.errors["p50"]
    assert low <= report.lengths.p50 <= high
    assert report.errors["mean"] > 0
    assert 0 < report.errors["share_over_max_length"] < 1


def test_a_template_that_refuses_every_row_is_the_error(dataset: Path, tiny_models: Any) -> None:
    with pytest.raises(DataError, match="refuses it"):
        counted(recipe("a/b", dataset, system="be brief"), tiny_models.tiny_tokenizer("turns"))


def test_the_advice_names_a_length_that_holds_the_rows(dataset: Path, tiny_models: Any) -> None:
    found = counted(recipe("a/b", dataset), tiny_models.tiny_tokenizer("chatml"))
    report = token_report(found, 100, 8)
    assert report.advised % 64 == 0
    assert report.advised >= report.lengths.p99
    assert report.loss.max_length == 100
    assert report.loss in report.choices
    assert not report.choices[-1].num_rows_over
    assert json.loads(json.dumps(report.to_json()))["rows_counted"] == len(ROWS)


def test_rows_are_shown_from_a_line_on_token_by_token(
    dataset: Path, tiny_model_folder: Path, tiny_models: Any, tmp_path: Path
) -> None:
    asked = recipe(tiny_model_folder, dataset)
    found = RowPreview.from_json(placed(asked, model_files(asked, tmp_path), 2, 41))
    row, after = found.rows
    assert (row.line, after.line) == (42, 43), "line 41 cannot be used"
    assert row.num_tokens == len(row.tokens) == counted(asked, tiny_models.tiny_tokenizer("chatml")).lengths[40]
    assert "".join(text for _, text, _ in row.tokens) == "".join(text for text, _ in row.pieces)
    assert sum(trained for _, _, trained in row.tokens) == row.num_trained


def test_a_model_that_is_not_here_is_not_fetched(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not on this machine") as caught:
        TokenCounting(recipe("owner/absent", dataset), tmp_path, 3).count()
    assert "hf download owner/absent" in caught.value.remedy
