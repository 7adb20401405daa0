"""Who may read what is written: finetui's own files, those asked for elsewhere, and links that lie in wait."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.errors import DataError
from data.file_modes import fresh, kept_private, make_private, released, users_umask
from engine.run_dir import RunDir
from tui_app.cli import main


@pytest.fixture(params=[0o000, 0o002, 0o022], ids=["umask-000", "umask-002", "umask-022"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_everything_made_under_the_private_umask_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    with kept_private(), kept_private():
        (tmp_path / "a" / "b").mkdir(parents=True)
        (tmp_path / "a" / "b" / "file").write_text("x")
        with users_umask():
            (tmp_path / "theirs").write_text("x")
        (tmp_path / "after").write_text("x")
    (tmp_path / "last").write_text("x")
    assert [mode(tmp_path / "a"), mode(tmp_path / "a" / "b"), mode(tmp_path / "a" / "b" / "file")] == [
        0o700,
        0o700,
        0o600,
    ]
    assert mode(tmp_path / "after") == 0o600
    assert mode(tmp_path / "theirs") == mode(tmp_path / "last") == 0o666 & ~umask
    assert "FINETUI_UMASK" not in os.environ


def test_the_folders_on_the_way_to_a_run_are_closed_too(tmp_path: Path, umask: int) -> None:
    run = RunDir.create(tmp_path / "data" / "finetui" / "runs", "mine")
    for folder in (run.path, *run.path.parents[:3]):
        assert mode(folder) == 0o700, folder
    assert {mode(each) for each in run.path.iterdir()} == {0o700}
    assert umask == os.umask(umask)


def test_a_folder_that_is_there_keeps_its_mode_and_a_file_in_its_place_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private(tmp_path)
    assert mode(tmp_path) == 0o755
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotADirectoryError):
            make_private(place)


def test_what_is_released_follows_the_persons_umask_and_no_link(tmp_path: Path, umask: int) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o600)
    with kept_private():
        (tmp_path / "asked").mkdir()
        (tmp_path / "asked" / "file").write_text("")
        (tmp_path / "asked" / "link").symlink_to(outside)
        released(tmp_path / "asked")
    assert mode(tmp_path / "asked") == 0o777 & ~umask
    assert mode(tmp_path / "asked" / "file") == 0o666 & ~umask
    assert mode(outside) == 0o600


def test_a_recipe_that_is_saved_where_somebody_asked_follows_their_umask(
    tmp_path: Path, umask: int, own_machine: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 20)
    saved = tmp_path / "mine.toml"
    words = ["new", "--preset", "demo-cpu", "--dataset", str(tmp_path / "rows.jsonl"), "--save", str(saved)]
    assert main(words) == 0
    assert mode(saved) == 0o666 & ~umask
    assert [str(each) for each in own_machine.rglob("*") if each.stat().st_mode & 0o077] == []


def test_a_link_at_a_temporary_name_is_never_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    (tmp_path / ".out.jsonl.part").symlink_to(victim)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    assert (
        main(["data", "convert", str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out.jsonl")])
        == DataError.exit_code
    )
    assert victim.read_text() == "as it was"
    with fresh(tmp_path / ".out.jsonl.part").open("x") as file:
        file.write("new")
    assert victim.read_text() == "as it was"
