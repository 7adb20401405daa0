"""Rows are counted before there is a run, by a real process, and only where nothing has to be fetched for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine import row_counts as counting
from engine.converted_models import shelf_of
from engine.recipe import Recipe
from engine.row_counts import counted_by, row_counts
from engine.row_lengths import RowLengths
from engine.run_dir import RunDir, cache_dir

ROWS = [{"instruction": "say it " * number, "output": "yes"} for number in range(1, 21)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUI_CACHE", str(tmp_path / "cache"))


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(model: Path | str, dataset: Path | str, **data: Any) -> Recipe:
    shares = {"eval_fraction": 0, "test_fraction": 0}
    values = {
        "model": {"name_or_path": str(model)},
        "data": {"dataset": str(dataset)} | shares | data,
        "evaluation": {"enabled": False},
    }
    return Recipe.from_values(values)


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A real process in the worker's place."""
    (folder / "other_worker.py").write_text(f"{code}\n\ndef main(_arguments):\n    return 0\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(counting, "MODULE", "other_worker")


def test_rows_are_counted_once_and_again_when_their_file_changes(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", ROWS)
    recipe = asked(tiny_model_folder, rows)
    assert row_counts(recipe, tmp_path, may_count=False) == (None, "they were not counted yet")
    found, source = row_counts(recipe, tmp_path)
    assert found is not None, source
    assert source == "counted with the model's tokenizer"
    assert found.num_rows == len(ROWS)
    lengths = [tokens for tokens, _ in found.longest]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > 3 * lengths[-1]
    assert found.num_tokens == sum(lengths)
    assert len({trained for _, trained in found.longest}) == 1, "the same answer stands in every row"

    stand_in(tmp_path, monkeypatch, "raise SystemExit('asked again')")
    assert row_counts(recipe, tmp_path)[0] == found
    assert row_counts(recipe, tmp_path, may_count=False)[0] == found
    write_rows(rows, ROWS[:10])
    assert row_counts(recipe, tmp_path) == (
        None,
        "the process that counts them ended with code 1: asked again",
    )


def test_bad_rows_are_a_reason_and_not_an_error(tiny_model_folder: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"colour": "blue"}\n' * 3)
    found, why = row_counts(asked(tiny_model_folder, rows), tmp_path)
    assert found is None
    assert "colour" in why
    assert "\n" not in why


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9"),
        ("raise KeyError('odd')", "ended with code 1: KeyError: 'odd'"),
        ("print('[1, 2]')", "ended with code 0"),
        ("print('{\"row_lengths\": 3}')", "ended with code 0"),
    ],
)
def test_a_worker_that_dies_or_talks_nonsense_is_told_of(
    code: str, said: str, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, code)
    found, why = row_counts(asked(tiny_model_folder, write_rows(tmp_path / "rows.jsonl", ROWS)), tmp_path)
    assert found is None
    assert said in why


def test_rows_that_take_too_long_are_given_up_and_not_begun_again(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = asked(tiny_model_folder, write_rows(tmp_path / "rows.jsonl", ROWS))
    stand_in(tmp_path, monkeypatch, "import signal; signal.pause()")
    late = (None, "counting them took more than 1 s, so it was ended")
    assert row_counts(recipe, tmp_path, wait_seconds=1) == late
    assert row_counts(recipe, tmp_path) == late


def test_who_no_longer_waits_ends_the_counting_and_it_can_be_begun_again(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave() -> None:
        raise KeyboardInterrupt

    recipe = asked(tiny_model_folder, write_rows(tmp_path / "rows.jsonl", ROWS))
    with monkeypatch.context() as patched:
        stand_in(tmp_path, patched, "import signal; signal.pause()")
        with pytest.raises(KeyboardInterrupt):
            row_counts(recipe, tmp_path, on_wait=leave)
    assert psutil.Process().children(recursive=True) == []
    assert row_counts(recipe, tmp_path)[1] == "counted with the model's tokenizer"


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ("someone/rows", "the rows of someone/rows would have to be downloaded"),
        ("rows-that-are-not-there.jsonl", "there is no rows-that-are-not-there.jsonl"),
        ("/nowhere/rows.jsonl", "/nowhere/rows.jsonl cannot be read: No such file or directory"),
    ],
)
def test_rows_that_are_not_here_are_not_fetched(
    dataset: str, said: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    found, why = row_counts(asked(tiny_model_folder, dataset), tmp_path)
    assert found is None
    assert said in why


def test_a_tokenizer_that_is_not_here_is_not_fetched(tmp_path: Path) -> None:
    found, why = row_counts(asked("someone/model", "generator:venvy"), tmp_path)
    assert (found, why) == (None, "the tokenizer of someone/model is not here yet; a run fetches it")
    assert not cache_dir().exists()


def test_rows_for_a_gguf_file_are_counted_with_the_tokenizer_in_it_and_nothing_is_converted(tmp_path: Path) -> None:
    recipe = asked("bundled:smollm2-135m-instruct", write_rows(tmp_path / "rows.jsonl", ROWS))
    found, source = row_counts(recipe, tmp_path)
    assert found is not None, source
    assert found.num_rows == len(ROWS)
    assert not shelf_of(cache_dir()).exists()


def test_a_hub_model_is_counted_with_the_tokenizer_in_its_cache(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    held = tmp_path / "models--someone--model"
    snapshot = held / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (held / "refs").mkdir()
    (held / "refs" / "main").write_text("a" * 40)
    (snapshot / "config.json").write_text("{}")
    recipe = asked("someone/model", "generator:venvy")
    assert counting.tokenizer_place(recipe, tmp_path) is None
    (snapshot / "tokenizer.json").symlink_to(tiny_model_folder / "tokenizer.json")
    assert counting.tokenizer_place(recipe, tmp_path) == snapshot


def test_large_files_are_not_begun_unless_only_their_first_rows_are_asked_for(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", ROWS)
    os.truncate(rows, counting.MAX_BYTES + 1)
    stand_in(tmp_path, monkeypatch, "raise SystemExit('begun')")
    assert "takes too long to count" in row_counts(asked(tiny_model_folder, rows), tmp_path)[1]
    assert "begun" in row_counts(asked(tiny_model_folder, rows, max_rows=5), tmp_path)[1]


def test_code_that_a_model_brings_is_not_carried_out_for_a_plan(tiny_model_folder: Path, tmp_path: Path) -> None:
    recipe = asked(tiny_model_folder, "generator:venvy")
    trusting = Recipe.from_values(
        {**recipe.model_dump(), "model": {**recipe.model.model_dump()} | {"trust_remote_code": True}}
    )
    assert "code of its own" in row_counts(trusting, tmp_path)[1]


def test_a_run_is_believed_only_for_the_rows_it_prepared(tmp_path: Path) -> None:
    lengths = RowLengths.of([(9, 3), (7, 3)])
    recipe = asked("someone/model", "generator:venvy")
    run = RunDir.create(tmp_path, "test")
    assert counted_by(run, recipe) is None, "it has no recipe yet"
    run.recipe.write_text(recipe.to_toml())
    assert counted_by(run, recipe) is None, "it has not counted yet"
    run.prepared.write_text(json.dumps({"row_lengths": lengths.to_json()}))
    assert counted_by(run, recipe) == lengths
    assert counted_by(run, asked("someone/model", "generator:venvy", max_rows=1)) is None
    run.prepared.write_text(json.dumps({"row_lengths": None}))
    assert counted_by(run, recipe) is None
