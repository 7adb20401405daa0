"""The draft on disk: kept, offered again with its age, dropped, and set aside when it cannot be used."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from engine.errors import RunDirError
from tui_app.steps.draft import Draft
from tui_app.steps.draft_file import draft_path, drop, save, saved_draft

DRAFT = Draft("demo-cpu", (("adapter.r", "8"), ("data.system", 'é "x"\n[b]')))


def test_a_draft_is_offered_again_with_its_age_and_only_its_owner_can_read_it() -> None:
    save(DRAFT)
    os.utime(draft_path(), (0, 0))
    found = saved_draft()
    assert found is not None
    assert (found.draft, found.note) == (DRAFT, "")
    assert found.age_seconds > 10**6
    assert stat.S_IMODE(draft_path().stat().st_mode) == 0o600


def test_a_dropped_draft_is_gone_and_dropping_twice_is_fine() -> None:
    save(DRAFT)
    drop()
    drop()
    assert saved_draft() is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"version": 0, "base": "own", "answers": []}',
        b'{"version": 1, "base": 3, "answers": []}',
        b'{"version": 1, "base": "own", "answers": [["a"]]}',
        b'{"version": 1, "base": "own", "answers": {"a": "b"}}',
    ],
)
def test_a_draft_that_cannot_be_used_is_set_aside_and_said(content: bytes) -> None:
    draft_path().parent.mkdir(parents=True, exist_ok=True)
    draft_path().write_bytes(content)
    found = saved_draft()
    assert found is not None
    assert found.draft is None
    assert "left out" in found.note
    assert draft_path().with_name("draft-unusable.json").read_bytes() == content
    assert saved_draft() is None


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FINETUI_HOME", str(tmp_path / "file"))
    with pytest.raises(RunDirError, match="cannot be made"):
        save(DRAFT)
