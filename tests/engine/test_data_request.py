"""Which rows a recipe names are here, judged by names alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.data_request import missing_rows, names_rows
from engine.recipe import Recipe


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.JSON", "b/c.csv", "a.parquet", "a.arrow", "a.jsonl.gz", "a.csv.zst", "rows.zip", "a.tar.gz"]
)
def test_every_kind_that_is_read_is_known_by_its_name_packed_or_not(name: str) -> None:
    assert names_rows(name)


@pytest.mark.parametrize("name", ["owner/name", "a.py", "model.gguf", "name-v1.5", "a.gz", "a"])
def test_a_dataset_of_the_hub_or_another_file_is_no_file_of_rows(name: str) -> None:
    assert not names_rows(name)


def test_a_packed_file_that_is_not_here_is_told_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl.gz").write_bytes(b"")
    (tmp_path / "notes.py").write_bytes(b"")

    def missing(dataset: str) -> str:
        recipe = Recipe.from_values({"model": {"name_or_path": "a/b"}, "data": {"dataset": dataset}})
        return str(missing_rows(recipe, tmp_path) or "")

    assert "Rows lying here: rows.jsonl.gz." in missing("data/row.jsonl.gz")
    assert not missing("owner/name")
    assert not missing("generator:venvy")
