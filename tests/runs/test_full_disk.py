"""A disk that fills up in the middle of a run: said as it is, nothing lost, and the run goes on once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import events as ev
from engine.checkpoints import fault_of
from engine.event_log import read_events
from engine.run_state import fold_all
from tests.runs.conftest import Workshop, end_all

pytestmark = pytest.mark.slow(seconds=30)
ROOMY = 1200 * 1024 * 1024


@pytest.fixture
def on_small_disk(workshop: Any, tmp_path: Path) -> Iterator[Workshop]:
    """The workshop with its home on a disk of its own, which can be made smaller. Skips where none can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", str(disk)], capture_output=True)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    yield Workshop(workshop.folder, disk / "home")
    end_all(disk / "home")
    subprocess.run(["umount", "-l", str(disk)], check=True)


def leave_free(disk: Path, num_bytes: int) -> None:
    """Shrink the disk until only so much is free; a page more or less."""
    stat = os.statvfs(disk)
    size = (stat.f_blocks - stat.f_bfree) * stat.f_frsize + num_bytes
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def test_a_run_on_a_disk_that_fills_up_says_so_keeps_its_checkpoints_and_goes_on_with_room(on_small_disk: Any) -> None:
    shop, disk = on_small_disk, on_small_disk.home.parent
    run = shop.begin("full", "training.save_steps=2")
    shop.wait_for(run, lambda event: isinstance(event, ev.CheckpointSaved) and event.step >= 2)
    leave_free(disk, 32 * 1024)
    watched = shop.finetui("attach", run.name)
    assert watched.returncode == 9, watched.stdout + watched.stderr
    assert "Free" in watched.stdout or "Make room" in watched.stdout
    assert "Traceback" not in watched.stdout + watched.stderr
    assert "failed" in shop.finetui("status", run.name).stdout
    before = read_events(run.events)
    assert isinstance(fold_all(before).final, ev.RunFailed)
    visible = list(run.checkpoints.glob("checkpoint-*"))
    assert visible
    assert [fault_of(path) for path in visible] == [""] * len(visible)
    leave_free(disk, ROOMY)
    resumed = shop.finetui("resume", run.name)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert shop.losses(run).keys() == set(range(1, 13))
    told = {(each.writer, each.seq) for each in read_events(run.events)}
    assert {(each.writer, each.seq) for each in before} <= told
