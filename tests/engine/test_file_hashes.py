"""Hashes of files and folders, and what is remembered of large ones."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from engine.errors import ModelError
from engine.file_hashes import file_hashes

LARGE = b"weights " * (2 * 1024 * 1024)
YEAR_2020 = (1_577_836_800, 1_577_836_800)


def test_a_folder_gives_every_file_by_name_with_hash_and_size(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.json").write_bytes(b"{}")
    (tmp_path / "sub" / "a.txt").write_bytes(b"a")
    (tmp_path / ".hidden").write_bytes(b"x")
    digest = hashlib.sha256
    assert file_hashes(tmp_path) == (
        ("b.json", digest(b"{}").hexdigest(), 2),
        ("sub/a.txt", digest(b"a").hexdigest(), 1),
    )


def test_a_large_file_is_remembered_until_its_size_or_time_changes(tmp_path: Path) -> None:
    file, cache = tmp_path / "model.safetensors", tmp_path / "cache"
    file.write_bytes(LARGE)
    os.utime(file, YEAR_2020)
    right = file_hashes(file, cache_dir=cache)
    assert right == (("model.safetensors", hashlib.sha256(LARGE).hexdigest(), len(LARGE)),)

    memory = cache / "file-hashes.json"
    (key,) = json.loads(memory.read_text())
    memory.write_text(json.dumps({key: "f" * 64}))
    assert file_hashes(file, cache_dir=cache)[0][1] == "f" * 64, "the remembered hash is what is used"

    os.utime(file, (YEAR_2020[0], YEAR_2020[1] + 1))
    assert file_hashes(file, cache_dir=cache) == right


def test_a_file_written_a_moment_ago_is_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(LARGE)
    file_hashes(file, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_broken_memory_only_means_hashing_again(tmp_path: Path) -> None:
    (tmp_path / "file-hashes.json").write_text("{not json")
    file = tmp_path / "a"
    file.write_bytes(b"a")
    assert file_hashes(file, cache_dir=tmp_path)[0][1] == hashlib.sha256(b"a").hexdigest()


def test_a_large_file_of_the_hubs_cache_is_named_by_its_blob_and_not_read(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "c"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / ("a" * 64)).write_bytes(b"large")
    (blobs / ("b" * 40)).write_bytes(b"small")
    (snapshot / "model.safetensors").symlink_to(blobs / ("a" * 64))
    (snapshot / "config.json").symlink_to(blobs / ("b" * 40))
    assert file_hashes(snapshot) == (
        ("config.json", hashlib.sha256(b"small").hexdigest(), 5),
        ("model.safetensors", "a" * 64, 5),
    )


def test_a_missing_path_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        file_hashes(tmp_path / "nowhere")
