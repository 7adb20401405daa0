"""Cards, drivers and builds of torch held against each other; the cards come through the real NVML binding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.doctor.devices import card, code_for, devices, driver_suits_torch, torch_is_built_for
from engine.hardware import Hardware, emulate, read_hardware

READ = "import json, engine.hardware as h; print(json.dumps(h.read_hardware().to_json()))"
BUILT_FOR_CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]


def read_on(driver_dir: Path, scenario: str, **variables: str) -> Hardware:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CUDA_")}
    stub = {"LD_LIBRARY_PATH": str(driver_dir), "NVML_STUB_SCENARIO": scenario}
    command = [sys.executable, "-P", "-c", READ]
    done = subprocess.run(command, env=environment | stub | variables, capture_output=True, text=True, check=True)
    return Hardware.from_json(json.loads(done.stdout))


def torch_told(**told: Any) -> dict[str, Any]:
    facts = {"version": "2.13.0+cu130", "cuda_build": "13.0", "hip_build": None, "cuda": True, "mps": False}
    return facts | {"arch_list": BUILT_FOR_CUDA_13, "cards": [{"name": "Tesla T4"}], "error": ""} | told


@pytest.mark.parametrize(
    ("scenario", "variables", "status", "command"),
    [
        ("t4", {}, "ok", ""),
        ("t4", {"CUDA_VISIBLE_DEVICES": ""}, "fail", "unset CUDA_VISIBLE_DEVICES"),
        ("two-unequal", {"CUDA_VISIBLE_DEVICES": "1"}, "warn", "export CUDA_DEVICE_ORDER=PCI_BUS_ID"),
        ("h100-mig-empty", {}, "fail", "sudo nvidia-smi -i 0 -mig 0"),
        ("mismatch", {}, "fail", "sudo reboot"),
        ("not-loaded", {}, "fail", "sudo modprobe nvidia"),
    ],
)
def test_a_card_that_cannot_be_used_comes_with_the_command_that_changes_it(
    driver_dir: Path, scenario: str, variables: dict[str, str], status: str, command: str
) -> None:
    found = card(read_on(driver_dir, scenario, **variables), variables)

    assert (found.status, found.command) == (status, command), found.found


def test_a_card_with_a_torch_that_suits_it_has_nothing_that_fails(driver_dir: Path) -> None:
    found = {each.name: each for each in devices(read_on(driver_dir, "t4"), torch_told(), {})}

    assert {each.status for each in found.values()} == {"ok"}
    assert found["driver"].found == "580.105.08; CUDA 13.0 needs 580 or newer"
    assert "uses Tesla T4" in found["torch and GPU"].found


@pytest.mark.parametrize(
    ("told", "said", "command"),
    [
        ({"cuda": False, "cuda_build": None}, "built for the CPU, so it cannot use Tesla T4", "pip install"),
        ({"cuda": False, "error": "driver too old"}, "cannot use the card with driver", "sudo ubuntu-drivers install"),
        ({"cuda": False, "cuda_build": None, "hip_build": "7.0"}, "built for ROCm 7.0", "pip install"),
    ],
)
def test_a_card_that_torch_does_not_see_fails_with_the_side_to_mend(
    told: dict[str, Any], said: str, command: str
) -> None:
    found = {each.name: each for each in devices(emulate(read_hardware(), "t4"), torch_told(**told), {})}

    assert found["torch and GPU"].status == "fail"
    assert said in found["torch and GPU"].found
    assert command in found["torch and GPU"].command


@pytest.mark.parametrize(
    ("capability", "built", "how"),
    [
        ((7, 5), BUILT_FOR_CUDA_13, "compiled"),
        ((8, 9), BUILT_FOR_CUDA_13, "compiled"),  # sm_86 runs on 8.9
        ((7, 0), BUILT_FOR_CUDA_13, "none"),  # a V100: dropped by CUDA 13
        ((12, 1), BUILT_FOR_CUDA_13, "compiled"),
        ((13, 0), BUILT_FOR_CUDA_13, "compiled on start"),  # from PTX
        ((9, 0), ["sm_90a"], "compiled"),
        ((9, 1), ["sm_90a"], "none"),  # of that capability alone
        ((8, 0), ["sm_86"], "none"),  # newer minor version
    ],
)
def test_a_card_needs_code_of_its_own_generation_or_ptx(
    capability: tuple[int, int], built: list[str], how: str
) -> None:
    assert code_for(capability, built) == how


def test_a_card_that_torch_no_longer_supports_is_told_from_one_that_is_too_new(driver_dir: Path) -> None:
    (gpu,) = read_on(driver_dir, "t4").gpus

    (too_new,) = torch_is_built_for([gpu], torch_told(arch_list=["sm_60", "sm_70"]))
    (too_old,) = torch_is_built_for([gpu], torch_told(arch_list=["sm_80", "sm_90"]))

    assert (too_new.status, too_old.status) == ("warn", "fail") or too_new.status == "ok"
    assert too_old.command == "export CUDA_VISIBLE_DEVICES="


def test_a_driver_older_than_torchs_cuda_needs_fails_with_both_versions() -> None:
    import dataclasses

    (gpu,) = emulate(read_hardware(), "t4").gpus
    old = dataclasses.replace(gpu, driver="525.60.13")

    (fails,) = driver_suits_torch([old], torch_told())
    (suits,) = driver_suits_torch([old], torch_told(cuda_build="12.8"))

    assert (fails.status, suits.status) == ("fail", "ok")
    assert fails.found == "525.60.13; CUDA 13.0 needs 580 or newer"


def test_what_finetui_does_not_train_on_is_called_by_its_name() -> None:
    bare = emulate(read_hardware(), "t4")
    without = Hardware.from_json(bare.to_json() | {"gpus": [], "gpu_note": "No NVIDIA card: none."})

    amd = list(devices(without, torch_told(cuda=False, cuda_build=None, hip_build="7.0"), {}))
    apple = list(devices(without, torch_told(cuda=False, cuda_build=None, mps=True), {}))

    assert "AMD's ROCm 7.0" in amd[-1].found
    assert "Apple GPU" in apple[-1].found


def test_a_container_without_the_card_and_windows_subsystem_get_their_own_remedies(tmp_path: Path) -> None:
    bare = emulate(read_hardware(), "t4").to_json() | {"gpus": []}
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "version").write_text("Linux version 6.6.87-microsoft-standard-WSL2\n")
    (tmp_path / ".dockerenv").touch()

    wsl = card(Hardware.from_json(bare | {"gpu_note": "No NVIDIA card, and no driver library"}), {}, tmp_path)
    docker = card(Hardware.from_json(bare | {"gpu_note": "An NVIDIA card is present, but …"}), {}, tmp_path)

    assert wsl.command == "wsl.exe --update"
    assert "--gpus all" in docker.command
