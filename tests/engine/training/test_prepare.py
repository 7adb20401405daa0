"""The preparation stage on real files: rows pass through one at a time, and each is in the account."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.preparation import DataRequest, prepare
from data.receipt import Receipt
from engine.errors import DataError
from engine.event_log import EventWriter, read_events
from engine.events import DataReady, WarningRaised
from engine.recipe import Recipe
from engine.run_dir import RunDir, read_json
from engine.training.dataset_files import read_examples, read_split
from engine.training.prepare import examples_sha256, prepare_run, render_splits, renderer_for


def asked(number: int, **more: Any) -> dict[str, Any]:
    return {"instruction": f"say {number}", "output": f"yes {number}"} | more


def run_of(tmp_path: Path, folder: Path, rows: list[dict[str, Any]], **data: Any) -> RunDir:
    """A run that only has its recipe."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = Recipe.from_values(
        {"model": {"name_or_path": str(folder)}, "data": {"dataset": str(path)} | data, "training": {"max_length": 64}}
    )
    run = RunDir.create(tmp_path / "runs", "prepared")
    run.recipe.write_text(recipe.to_toml())
    return run


def prepared(run: RunDir) -> list[Any]:
    """Run the stage; its events."""
    writer = EventWriter(run.event_file("prepare"))
    assert prepare_run(run, writer) == 0
    writer.close()
    return [stamped.event for stamped in read_events(run.events)]


def test_a_row_that_the_template_refuses_leaves_its_split_and_is_in_every_account(
    tmp_path: Path, tiny_model_of: Callable[[str], Path]
) -> None:
    rows = [asked(number, **({"system": "short"} if number % 4 == 0 else {})) for number in range(40)]
    run = run_of(tmp_path, tiny_model_of("gemma3"), rows)
    ready = prepared(run)[-1]
    assert isinstance(ready, DataReady)
    kept = {name: list(read_examples(run.dataset / f"{name}.jsonl")) for name in ("train", "eval", "test")}
    lines = sorted(example.line for examples in kept.values() for example in examples)
    assert lines == [number + 1 for number in range(40) if number % 4]
    assert [ready.num_train, ready.num_eval, ready.num_test] == [len(examples) for examples in kept.values()]
    assert ready.num_rejected == 10 == len((run.dataset / "rejected.jsonl").read_text().splitlines())
    record = read_json(run.prepared)
    assert record["splits"]["train"]["rows"] == record["row_lengths"]["num_rows"] == len(kept["train"])
    assert record["test"]["sha256"] == examples_sha256(kept["test"])
    assert set(record["test"]["unseen"]) <= {example.line for example in kept["test"]}
    assert len(read_split(run.dataset, "train", max_length=64, on_overflow="truncate")) == len(kept["train"])


def test_the_card_lies_beside_the_rows_and_names_what_the_checks_found(
    tmp_path: Path, tiny_model_of: Callable[[str], Path]
) -> None:
    rows = [asked(number, output="sk-ant-api03-" + "a1B2" * 24 if number < 20 else "yes") for number in range(40)]
    run = run_of(tmp_path, tiny_model_of("llama"), [*rows, {"instruction": "only"}])
    warned = [event.text for event in prepared(run) if isinstance(event, WarningRaised)]
    card = read_json(run.dataset / "dataset_card.json")
    assert (card["num_read"], card["num_kept"]) == (41, 40)
    assert next((change["num_rows"], change["why"]) for change in card["changes"]) == (1, "'output' is missing.")
    assert {output["name"] for output in card["outputs"]} == {
        f"dataset/{name}.jsonl" for name in ("train", "eval", "test")
    }
    assert "secrets" in {finding["check"] for finding in card["findings"]}
    assert 0 < len(warned) <= 5
    assert not any("sk-ant" in text for text in (*warned, json.dumps(card)))
    assert sorted(path.name for path in run.dataset.iterdir() if path.is_dir()) == []


def test_warnings_and_card_name_the_rows_where_their_own_files_have_them(
    tmp_path: Path, tiny_model_of: Callable[[str], Path]
) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for shard in range(2):
        rows = [asked(100 * shard + number) for number in range(20)]
        if shard:
            rows[3]["output"] = rows[5]["output"] = "sk-ant-api03-" + "a1B2" * 24
        text = "\n" + "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"part-{shard}.jsonl").write_text(text + "{broken\n" * shard)
    other = {"test_dataset": str(tmp_path / "rows.jsonl"), "eval_fraction": 0}
    run = run_of(tmp_path, tiny_model_of("llama"), [asked(900)], dataset=str(folder), **other)
    warned = [event.text for event in prepared(run) if isinstance(event, WarningRaised)]
    place = f"{folder}/part-1.jsonl, line 5"
    assert any(place in text for text in warned)
    assert sum("dataset_card.md" in text for text in warned) == 1
    assert str(run.dataset) in warned[-1]
    secrets = next(one for one in read_json(run.dataset / "dataset_card.json")["findings"] if one["check"] == "secrets")
    assert secrets["first_rows"] == [place, f"{folder}/part-1.jsonl, line 7"]
    told = Receipt.from_json(read_json(run.receipt))
    assert [note.first_places for note in told.rejected] == [(f"{folder}/part-1.jsonl, line 22",)]


def test_validation_and_test_files_that_nobody_uses_are_told_of(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for place, name in enumerate(("train", "validation", "test")):
        rows = "".join(json.dumps(asked(100 * place + number)) + "\n" for number in range(20))
        (folder / f"{name}.jsonl").write_text(rows)
    assert "validation and test rows too" in prepare(DataRequest(str(folder))).notes[0]
    assert prepare(DataRequest(str(folder), eval_dataset=str(folder), test_dataset=str(folder))).notes == ()


def test_refused_answers_of_pairs_are_said_to_be_unused(tmp_path: Path, tiny_model_of: Callable[[str], Path]) -> None:
    rows = [{"prompt": f"say {number}", "chosen": f"yes {number}", "rejected": "no"} for number in range(30)]
    run = run_of(tmp_path, tiny_model_of("llama"), rows)
    prepared(run)
    assert read_json(run.receipt)["num_pairs"] == read_json(run.prepared)["splits"]["train"]["rows"]


def test_a_template_that_refuses_every_row_is_at_fault(tmp_path: Path, tiny_model_of: Callable[[str], Path]) -> None:
    run = run_of(tmp_path, tiny_model_of("gemma3"), [asked(number, system="short") for number in range(30)])
    recipe = Recipe.load(run.recipe)
    rows = prepare(DataRequest(recipe.data.dataset))
    with pytest.raises(DataError, match="chat template refuses it"):
        render_splits(rows, renderer_for(recipe, tiny_model_of("gemma3")), lambda _name, _row: None)
