"""Artifacts get to their place whole or not at all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RunDirError
from engine.events import ArtifactExported
from engine.exporters import placing
from engine.exporters.placing import remember, staged, staged_file, up_to_date

MADE_FROM = {"result_sha256": "abc", "settings": {}}


def event(name: str) -> ArtifactExported:
    return ArtifactExported(artifact=name, kind="merged", path=name, num_bytes=1, seconds=0.1, notes=("one", "two"))


def put(place: Path, content: str, name: str = "merged") -> None:
    with staged(place, name, MADE_FROM) as folder:
        (folder / "weights").write_text(content)
    remember(place / name, event(name))


def test_what_is_in_place_is_listed_hashed_and_known_again(tmp_path: Path) -> None:
    put(tmp_path, "first")
    assert up_to_date(tmp_path / "merged", MADE_FROM) == event("merged")
    assert up_to_date(tmp_path / "merged", {**MADE_FROM, "settings": {"type": "F16"}}) is None
    (tmp_path / "merged" / "weights").write_text("wrong")
    assert up_to_date(tmp_path / "merged", MADE_FROM) is None


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path, "first")
    with pytest.raises(TypeError), staged(tmp_path, "merged", MADE_FROM) as folder:
        (folder / "weights").write_bytes("half")  # type: ignore[arg-type]
    assert (tmp_path / "merged" / "weights").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]


def test_a_newer_artifact_takes_the_place_of_the_older(tmp_path: Path) -> None:
    put(tmp_path, "first")
    put(tmp_path, "second")
    assert (tmp_path / "merged" / "weights").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]


def test_single_files_lie_beside_each_other_with_their_manifests(tmp_path: Path) -> None:
    for name in ("a-F16.gguf", "a-Q8_0.gguf"):
        with staged_file(tmp_path, name, MADE_FROM) as folder:
            (folder / name).write_text(name)
            (folder / "scratch").write_text("not kept")
        remember(tmp_path / name, event(name))
    assert up_to_date(tmp_path / "a-Q8_0.gguf", MADE_FROM) == event("a-Q8_0.gguf")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"a-F16.gguf", "a-F16.gguf.json", "a-Q8_0.gguf", "a-Q8_0.gguf.json"}


def test_what_finetui_did_not_make_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "mine").write_text("precious")
    with pytest.raises(RunDirError, match="finetui did not make it"):
        put(tmp_path, "first")
    assert (tmp_path / "merged" / "mine").read_text() == "precious"


def test_the_leftovers_of_a_killed_attempt_are_removed_by_the_next(tmp_path: Path) -> None:
    put(tmp_path, "first")
    code = (
        "import os, signal\nfrom pathlib import Path\nfrom engine.exporters.placing import staged\n"
        f"with staged(Path({str(tmp_path)!r}), 'merged', {{}}) as folder:\n"
        "    (folder / 'weights').write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    put(tmp_path, "second")
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]


def test_what_was_moved_away_for_a_replacement_that_never_came_is_put_back(tmp_path: Path) -> None:
    put(tmp_path, "first")
    (tmp_path / "merged").rename(tmp_path / ".merged.previous")
    with pytest.raises(KeyError), staged(tmp_path, "merged", MADE_FROM):
        raise KeyError("something")
    assert up_to_date(tmp_path / "merged", MADE_FROM) == event("merged")


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match=r"free; the export needs"), staged(tmp_path, "merged", MADE_FROM, 10**18):
        raise AssertionError("the block was entered")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_is_an_error_of_ours_and_what_was_there_stays(small_disk: Path) -> None:
    put(small_disk, "first")
    with pytest.raises(RunDirError, match="No space left"), staged(small_disk, "merged", MADE_FROM) as folder:
        (folder / "weights").write_bytes(b"x" * 2**23)
    assert (small_disk / "merged" / "weights").read_text() == "first"
    assert [path.name for path in small_disk.iterdir()] == ["merged"]


def test_a_librarys_own_word_for_a_full_disk_is_understood(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match="No space left"), staged(tmp_path, "merged", MADE_FROM):
        raise RuntimeError("I/O error: No space left on device (os error 28)")


def test_names_with_pattern_characters_are_taken_literally(tmp_path: Path) -> None:
    assert re.fullmatch(r"a\[\*\]b\[\?\]", placing._literal("a*b?"))
    put(tmp_path, "first", name="a*b")
    assert (tmp_path / "a*b" / "weights").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 4 MiB, where this machine lets tests mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)
