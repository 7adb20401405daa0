"""The environment of worker processes: quiet, on one device, and deaf to packages in the user's folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.environment import (
    CPU_ALLOCATOR,
    QUIET,
    child_environment,
    device_environment,
    silence_telemetry,
    worker_command,
)


def device(**changes: object) -> dict[str, str]:
    values = {"device": "cpu", "uuid": "", "expandable_segments": False, "is_capped": False} | changes
    return device_environment(**values)  # type: ignore[arg-type]


def test_telemetry_is_off_in_this_process_and_in_every_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in QUIET:
        monkeypatch.setenv(name, "0")
    silence_telemetry()
    for name in ("HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        assert os.environ[name] == "1"
        assert child_environment()[name] == "1"
    assert child_environment()["WANDB_MODE"] == "disabled"


def test_the_rest_of_the_environment_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PROXY", "http://here")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert child_environment()["MY_PROXY"] == "http://here"
    assert "HF_HUB_OFFLINE" not in child_environment()
    assert child_environment(offline=True)["HF_HUB_OFFLINE"] == "1"


def test_a_cpu_worker_sees_no_card_and_keeps_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CPU_ALLOCATOR:
        monkeypatch.delenv(name, raising=False)
    assert device()["CUDA_VISIBLE_DEVICES"] == ""
    assert CPU_ALLOCATOR.items() <= device().items()
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    assert device()["MALLOC_TOP_PAD_"] == "1"


def test_a_capped_cpu_worker_holds_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    assert device(is_capped=True)["CUDA_VISIBLE_DEVICES"] == ""
    assert not set(CPU_ALLOCATOR) & set(device(is_capped=True))
    assert device(is_capped=True)["MALLOC_MMAP_THRESHOLD_"] == "131072"


def test_a_worker_on_a_card_sees_that_card_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF", raising=False)
    assert device(device="cuda:0", uuid="GPU-1") == {"CUDA_VISIBLE_DEVICES": "GPU-1"}
    segmented = device(device="cuda:0", uuid="GPU-1", expandable_segments=True)
    assert segmented["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:64")
    assert "PYTORCH_CUDA_ALLOC_CONF" not in device(device="cuda:0", uuid="GPU-1", expandable_segments=True)


def test_a_worker_never_imports_a_package_of_the_users_folder(tmp_path: Path) -> None:
    for package in ("engine", "data"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('the wrong package')")
    command = worker_command("engine.supervisor", str(tmp_path / "no-run"))
    assert command[0] == sys.executable
    done = subprocess.run(command, cwd=tmp_path, env=child_environment(), capture_output=True, text=True)
    assert "wrong package" not in done.stderr
    assert "no-run" in done.stderr


def test_a_launcher_around_finetui_makes_no_rank_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "ACCELERATE_USE_FSDP"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    found = child_environment()
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "ACCELERATE_USE_FSDP"} & set(found)
    assert found["SLURM_JOB_ID"] == "77"
