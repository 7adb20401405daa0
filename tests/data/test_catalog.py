"""The catalog: every entry loads rows that lie as the hub lays them, and is kept for offline use as plain files.

The hub's cache is written here file by file, in the layout and with the columns that the entry states; no network.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from data.catalog import Entry, UseCase, entries, entry_of, named, use_cases
from data.catalog.saving import SOURCE, SUMS, recipe_lines, save
from data.errors import DataError
from data.formats import all_formats
from data.loading import Rows, Shape
from data.sources import SourceSettings
from engine.recipe import Recipe
from tests.hub_cache import COMMIT, put

NUM_ROWS = 3
NUMBERS = {"task_id", "raw_index", "index", "pubid", "helpfulness", "size", "text_token_length", "avg_line_length"}
LISTS = {"test_list", "challenge_test_list", "tags", "licenses"}
SHAREGPT = {
    "Open-Orca/SlimOrca": ("system", "human", "gpt"),
    "open-thoughts/OpenThoughts-114k": ("user", "assistant"),
}
LINES_IN_JSON = {"bigcode/the-stack-smol"}
"""Their .json files hold a row a line, not one array."""


def value(entry: Entry, column: str, number: int) -> Any:
    if column == "messages":
        return [{"content": f"Ask {number}", "role": "user"}, {"content": f"Answer {number}", "role": "assistant"}]
    if column == "conversations":
        return [{"from": role, "value": f"{role} says {number}"} for role in SHAREGPT[entry.id]]
    if column == "context" and entry.id == "qiaojin/PubMedQA":
        return {"contexts": [f"context {number}"], "labels": ["METHODS"], "meshes": ["Humans"]}
    if column in NUMBERS:
        return number
    return [f"{column} {number}"] if column in LISTS else f"{column} {number}"


def content(entry: Entry, name: str, first: int) -> bytes:
    """A file of the entry's columns in the kind that its name says."""
    rows = [{c: value(entry, c, number) for c in entry.file_columns} for number in range(first, first + NUM_ROWS)]
    buffer = io.BytesIO()
    if name.endswith(".parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), buffer)
        return buffer.getvalue()
    if name.endswith(".csv"):
        text = io.StringIO()
        writer = csv.DictWriter(text, entry.file_columns)
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    if name.endswith(".json") and entry.id not in LINES_IN_JSON:
        return json.dumps(rows, indent=1).encode()
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return gzip.compress(lines, mtime=0) if name.endswith(".gz") else lines


def front_matter(entry: Entry) -> bytes:
    """A card as the hub's are: YAML before the text, with the configuration where the entry has a subset or split."""
    told = ["---", f"license: {entry.licence.partition(' ')[0].lower()}"]
    if entry.subset or entry.split:
        told += ["configs:", f"- config_name: {entry.subset or 'default'}", "  data_files:"]
        told += [f"  - split: {entry.split or 'train'}", f"    path: {pattern(entry.files[0])}"]
    return "\n".join([*told, "---", f"# {entry.title}", ""]).encode()


def pattern(name: str) -> str:
    """data/train-00000-of-00003.parquet -> data/train-*"""
    return f"{name.partition('-0')[0]}-*" if "-of-" in name else name


def cached(entry: Entry, cache: Path) -> Path:
    """The hub's cache after a download of the entry: refs, blobs by their hash, a snapshot of links."""
    files = {name: content(entry, name, place * 100) for place, name in enumerate((*entry.files, *entry.other_files))}
    put(cache, "datasets", entry.id, {"README.md": front_matter(entry), **files})
    return cache


def loaded(entry: Entry, dataset: str, cache: Path | None = None) -> Rows:
    offline = {"offline": True, "cache_dir": str(cache)} if cache else {}
    settings = SourceSettings(subset=entry.subset, split=entry.split, **offline)  # type: ignore[arg-type]
    return Rows(dataset, settings, Shape(entry.format, entry.template, entry.columns))


def problems(rows: Rows, entry: Entry) -> Iterable[str]:
    found = list(rows)
    if {row.file.removeprefix(rows.dataset + "/") for row in found} != set(entry.files):
        yield f"reads {sorted({row.file for row in found})}"
    for row in found:
        if row.example is None:
            yield f"{row.file}, line {row.file_line}: {row.rejection}"
    if len(found) != NUM_ROWS * len(entry.files):
        yield f"{len(found)} rows"


def shown(each: Entry) -> str:
    return each.id


@pytest.mark.parametrize("entry", entries(), ids=shown)
def test_an_entry_loads_its_rows_from_the_layout_that_the_hub_has(entry: Entry, tmp_path: Path) -> None:
    assert not list(problems(loaded(entry, entry.id, cached(entry, tmp_path / "hub")), entry))


@pytest.mark.parametrize("entry", entries(), ids=shown)
def test_an_entry_loads_alike_from_the_folder_that_it_was_saved_to(entry: Entry, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    save(entry, folder, offline=True, cache_dir=str(cached(entry, tmp_path / "hub")))
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    assert not list(problems(loaded(entry, str(folder)), entry))


@pytest.mark.parametrize("entry", entries(), ids=shown)
def test_the_recipe_lines_of_an_entry_are_a_recipe(entry: Entry) -> None:
    text = "\n".join(["[model]", 'name_or_path = "a/b"', *recipe_lines(entry, entry.id)])
    data = Recipe.parse(text).data
    assert (data.dataset, data.subset, data.split) == (entry.id, entry.subset, entry.split)
    assert (data.template, data.columns) == (entry.template, dict(entry.columns))


@pytest.mark.parametrize("entry", entries(), ids=shown)
def test_an_entry_names_a_format_that_exists_and_says_what_gets_worse_and_what_was_checked(entry: Entry) -> None:
    assert entry.format in all_formats() or (entry.format == "template" and entry.template)
    assert set(entry.columns.values()) <= set(entry.file_columns)
    for sentence in (entry.good_for, entry.gets_worse, entry.facts_checked, entry.licence, entry.title):
        assert sentence.strip()


def test_there_are_five_use_cases_of_three_datasets_or_more_and_every_id_occurs_once() -> None:
    assert {case.name for case in use_cases()} == {"code", "chat", "domain", "creative", "reasoning"}
    assert all(len(case.entries) >= 3 for case in use_cases())
    ids = [entry.id for entry in entries()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("case", use_cases(), ids=lambda case: case.name)
def test_the_settings_of_a_use_case_are_settings_of_a_recipe(case: UseCase) -> None:
    text = '[model]\nname_or_path = "a/b"\n[data]\ndataset = "c/d"\n'
    Recipe.parse(text, overrides=[f"{name}={json.dumps(value)}" for name, value in case.settings.items()])


def test_a_name_that_the_catalog_has_not_is_answered_with_near_ones() -> None:
    with pytest.raises(DataError, match="openai/gsm8k"):
        named("gsm8")
    assert named("CODE") is use_cases()[[case.name for case in use_cases()].index("code")]
    assert named("hub:OpenAI/GSM8K") is entry_of("openai/gsm8k")
    assert entry_of("owner/other") is None


GSM8K = entry_of("openai/gsm8k")
assert GSM8K is not None


@pytest.mark.parametrize(
    ("word", "use_case"),
    [("math", "reasoning"), ("Mathematics", "reasoning"), ("python", "code"), ("poems", "creative")],
)
def test_another_word_for_a_use_case_is_answered_with_it(word: str, use_case: str) -> None:
    with pytest.raises(DataError) as caught:
        named(word)
    assert caught.value.remedy.startswith(f"Perhaps {use_case} ")


def test_a_hub_out_of_reach_is_told_with_what_failed_and_the_same_command_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    for offline, why in ((True, "The network was not to be used (offline)."), (False, "Asking the hub failed: ")):
        with pytest.raises(DataError) as caught:
            save(GSM8K, tmp_path / "out", offline=offline, cache_dir=str(tmp_path / "empty"))
        assert caught.value.means.startswith(why)
        assert "is off" not in caught.value.means
        assert caught.value.remedy.startswith("Once with a network, the same command again")


def test_a_saved_folder_says_where_it_is_from_and_its_sums_are_right(tmp_path: Path) -> None:
    cache, folder = str(cached(GSM8K, tmp_path / "hub")), tmp_path / "gsm8k"
    saved = save(GSM8K, folder, offline=True, cache_dir=cache)
    assert (saved.revision, saved.num_kept) == (COMMIT, 0)
    for line in (folder / SUMS).read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    page = (folder / SOURCE).read_text()
    assert COMMIT in page
    assert "MIT" in page
    assert "socratic" not in {file.name.partition("/")[0] for file in saved.files}


def test_saving_again_keeps_what_is_there_and_goes_on_with_what_is_not(tmp_path: Path) -> None:
    cache, folder = str(cached(GSM8K, tmp_path / "hub")), tmp_path / "gsm8k"
    first = save(GSM8K, folder, offline=True, cache_dir=cache)
    before = {path: path.stat().st_ino for path in folder.rglob("*.parquet")}
    (folder / "main/test-00000-of-00001.parquet").unlink()
    (folder / "mine.txt").write_text("my notes")
    again = save(GSM8K, folder, offline=True, cache_dir=cache)
    assert again.num_kept == len(first.files) - 1
    assert again.files == first.files
    kept = folder / "main/train-00000-of-00001.parquet"
    assert kept.stat().st_ino == before[kept]
    assert (folder / "mine.txt").read_text() == "my notes"


def test_a_file_that_holds_something_else_is_not_overwritten_unless_it_is_forced(tmp_path: Path) -> None:
    cache, folder = str(cached(GSM8K, tmp_path / "hub")), tmp_path / "gsm8k"
    mine = folder / "main/train-00000-of-00001.parquet"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(DataError, match="--force"):
        save(GSM8K, folder, offline=True, cache_dir=cache)
    assert mine.read_bytes() == b"mine"
    save(GSM8K, folder, offline=True, cache_dir=cache, force=True)
    assert not list(problems(loaded(GSM8K, str(folder)), GSM8K))


def test_a_dataset_that_is_not_in_the_cache_is_told_with_its_page_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"huggingface\.co/datasets/openai/gsm8k"):
        save(GSM8K, tmp_path / "out", offline=True, cache_dir=str(tmp_path / "empty"))
    assert not (tmp_path / "out").exists()
