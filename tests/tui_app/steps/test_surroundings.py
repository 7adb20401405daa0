"""What lies around: found near by and in earlier runs, quickly, whatever is broken there."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.run_dir import RunDir
from tui_app.steps.paths import completions
from tui_app.steps.surroundings import Surroundings, bundled_models, cached_models, gather, near, parts, recent


def values(found: tuple[object, ...]) -> list[str]:
    return [each.value for each in found]  # type: ignore[attr-defined]


def model_at(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_text("{}")


def test_models_and_rows_near_by_are_found_the_nearest_first(tmp_path: Path) -> None:
    model_at(tmp_path / "models" / "small")
    (tmp_path / "data").mkdir()
    for name in ("data/deep.jsonl", "rows é [x].csv", "notes.md", "package.json", ".hidden.jsonl", "big.gguf"):
        (tmp_path / name).write_text("x")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "no.jsonl").write_text("x")
    models, rows = near(tmp_path)
    assert values(models) == ["big.gguf", "models/small"]
    assert values(rows) == ["rows é [x].csv", "data/deep.jsonl"]


def test_packed_rows_and_arrow_folders_are_found_near_by_the_likeliest_first(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    names = ("rows.zip", "rows.jsonl.gz", "rows.jsonl", "saved/state.json", "saved/dataset_info.json")
    for name in (*names, "saved/data-00000-of-00001.arrow", "README.md"):
        (tmp_path / name).write_text("x")
    _, rows = near(tmp_path)
    assert values(rows) == ["rows.jsonl", "rows.jsonl.gz", "rows.zip", "saved"]


def test_models_and_rows_of_earlier_runs_are_found_once_and_broken_recipes_passed_over(own_machine: Path) -> None:
    for number, recipe in enumerate(
        [
            '[model]\nname_or_path = "a/b"\n[data]\ndataset = "generator:venvy"\n',
            '[model]\nname_or_path = "a/b"\n[data]\ndataset = "/gone/rows.jsonl"\n',
            "not toml [",
            'model = "x"\ndata = 3\n',
        ]
    ):
        RunDir.create(own_machine / "runs", f"run{number}").recipe.write_text(recipe)
    models, rows = recent()
    assert (values(models), values(rows)) == (["a/b"], ["generator:venvy"])
    assert models[0].detail.startswith("of run run")


def test_the_hubs_cache_offers_models_with_weights_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    whole = tmp_path / "models--me--whole" / "snapshots" / "1"
    whole.mkdir(parents=True)
    (whole / "model.safetensors").write_text("")
    (tmp_path / "models--me--config-only" / "snapshots" / "1").mkdir(parents=True)
    assert values(cached_models()) == ["me/whole"]


def test_each_part_comes_by_itself_and_the_whole_is_complete(tmp_path: Path) -> None:
    found = Surroundings.unknown()
    assert (found.hardware, found.matches, found.is_complete) == (None, None, False)
    for part in parts(tmp_path):
        found = part(found)
    assert found.is_complete
    assert found.hardware is not None
    assert found.matches
    assert values(found.bundled_models) == values(bundled_models())
    assert gather(tmp_path).near_rows == ()


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert near(tmp_path / "nowhere") == ((), ())


def test_paths_are_completed_folders_first_and_hidden_ones_only_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for name in ("rows.jsonl", "rows.jsonl.gz", "rows.py", "rows.zip", "model.gguf", ".rows.jsonl", "rows/a b.csv"):
        (tmp_path / name).write_text("")
    assert completions("ro", tmp_path, "rows") == ("rows/", "rows.jsonl", "rows.jsonl.gz", "rows.zip")
    assert completions("rows/", tmp_path, "rows") == ("rows/a b.csv",)
    assert completions("", tmp_path, "model") == ("rows/", "model.gguf")
    assert completions(".", tmp_path) == (".rows.jsonl",)
    assert completions(f"{tmp_path}/ro", Path("/"), "any") == tuple(
        f"{tmp_path}/{name}" for name in ("rows/", "rows.jsonl", "rows.jsonl.gz", "rows.py", "rows.zip")
    )
    assert completions("nowhere/x", tmp_path) == completions("~nobody-here/x", tmp_path) == ()
    assert completions("a\0b/", tmp_path) == ()
