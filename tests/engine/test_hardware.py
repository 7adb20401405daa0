"""What finetui sees of a machine's cards: the real binding over a stand-in for the driver's library.

`nvml_stub.c` is compiled once and put where the dynamic loader finds it before any real driver; each reading
happens in a fresh interpreter, as in the program.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.hardware import Hardware, emulate, read_hardware
from engine.units import GIB, MIB

READ = "import json, engine.hardware as h; print(json.dumps(h.read_hardware().to_json()))"
Reader = Callable[..., Hardware]


@pytest.fixture
def read_on(driver_dir: Path) -> Reader:
    """Reads a scenario of the stand-in in a fresh interpreter and hands back what came through JSON."""

    def read(scenario: str, **variables: str) -> Hardware:
        return read_with_driver(driver_dir, NVML_STUB_SCENARIO=scenario, **variables)

    return read


def read_with_driver(directory: Path, **variables: str) -> Hardware:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CUDA_")}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", READ],
        env=environment | {"LD_LIBRARY_PATH": str(directory)} | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return Hardware.from_json(json.loads(done.stdout))


def test_a_t4_is_read_with_the_memory_a_program_can_use_and_without_bf16(read_on: Reader) -> None:
    hardware = read_on("t4")

    (gpu,) = hardware.gpus
    assert (gpu.name, gpu.uuid, gpu.driver) == ("Tesla T4", "GPU-74747474-t4t4", "580.105.08")
    assert (gpu.total_bytes, gpu.usable_bytes, gpu.free_bytes) == (15_360 * MIB, 14_912 * MIB, 14_912 * MIB)
    assert (gpu.temperature_celsius, gpu.utilisation_percent, gpu.mig) == (41, 0, "off")
    assert (gpu.processes, gpu.problems) == ((), ())
    assert hardware.device_kind == "cuda"
    assert not hardware.bf16.available
    assert "8.0" in hardware.bf16.reason
    assert "Tesla T4 has 7.5" in hardware.bf16.reason
    assert not hardware.flash_attention.available
    assert hardware.four_bit.available


def test_a_card_in_use_names_the_processes_on_it_and_owns_up_to_what_it_cannot_know(read_on: Reader) -> None:
    (gpu,) = read_on("rtx3050-6gb").gpus

    assert (gpu.total_bytes, gpu.used_bytes, gpu.free_bytes) == (6_144 * MIB, 1_024 * MIB, 4_915 * MIB)
    assert gpu.utilisation_percent == 37
    reader, stranger = gpu.processes
    assert reader.name is not None
    assert reader.name.startswith("python")
    assert reader.used_bytes == 512 * MIB
    assert (stranger.name, stranger.used_bytes) == (None, None)
    assert gpu.bf16.available
    assert gpu.flash_attention.available


def test_an_h100_with_mig_off_is_one_card(read_on: Reader) -> None:
    (gpu,) = read_on("h100").gpus

    assert (gpu.compute_capability, gpu.mig) == ((9, 0), "off")
    assert gpu.usable_bytes == (81_559 - 554) * MIB


def test_an_h100_with_mig_on_is_its_slices_and_the_roomiest_one_is_best(read_on: Reader) -> None:
    hardware = read_on("h100-mig")

    assert [gpu.uuid for gpu in hardware.gpus] == ["MIG-11111111-aaaa", "MIG-33333333-bbbb"]
    assert {gpu.mig for gpu in hardware.gpus} == {"slice"}
    best = hardware.best_gpu
    assert best is not None
    assert (best.uuid, best.total_bytes, best.free_bytes) == ("MIG-33333333-bbbb", 40_448 * MIB, 35_392 * MIB)
    assert (best.compute_capability, best.temperature_celsius, best.utilisation_percent) == ((9, 0), 33, None)


def test_mig_without_a_slice_is_no_card_and_says_how_to_turn_it_off(read_on: Reader) -> None:
    hardware = read_on("h100-mig-empty")

    assert hardware.best_gpu is None
    assert "sudo nvidia-smi -i 0 -mig 0" in hardware.gpu_note


def test_of_two_unequal_cards_the_one_with_more_free_memory_is_best(read_on: Reader) -> None:
    hardware = read_on("two-unequal")

    assert [gpu.index for gpu in hardware.gpus] == [0, 1]
    assert hardware.best_gpu is hardware.gpus[1]
    assert hardware.gpu_note == ""


@pytest.mark.parametrize(
    ("visible", "names", "note"),
    [
        ("0", ["NVIDIA GeForce RTX 3050 6GB"], "hides Tesla T4 (GPU 1)"),
        ("1,0", ["Tesla T4", "NVIDIA GeForce RTX 3050 6GB"], "CUDA_DEVICE_ORDER=PCI_BUS_ID"),
        ("1,-1,0", ["Tesla T4"], "hides NVIDIA GeForce RTX 3050 6GB (GPU 0)"),
        ("0,7,1", ["NVIDIA GeForce RTX 3050 6GB"], "'7' names no card here, and CUDA reads no further"),
        ("GPU-74747474-t4t4", ["Tesla T4"], "hides"),
        ("GPU-7", ["Tesla T4"], "hides"),
        ("GPU-", [], "'GPU-' names no card here"),
        ("", [], "hides every NVIDIA card"),
        ("-1", [], "Unset it to use NVIDIA GeForce RTX 3050 6GB (GPU 0), Tesla T4 (GPU 1)"),
        ("none", [], "'none' names no card here"),
        ("1,1", [], "names a card twice"),
    ],
)
def test_cuda_visible_devices_counts_as_it_does_for_cuda(
    read_on: Reader, visible: str, names: list[str], note: str
) -> None:
    hardware = read_on("two-unequal", CUDA_VISIBLE_DEVICES=visible)

    assert [gpu.name for gpu in hardware.gpus] == names
    assert note in hardware.gpu_note
    assert hardware.device_kind == ("cuda" if names else "cpu")


def test_cards_numbered_by_bus_order_need_no_word_about_numbering(read_on: Reader) -> None:
    hardware = read_on("two-unequal", CUDA_VISIBLE_DEVICES="0,1", CUDA_DEVICE_ORDER="PCI_BUS_ID")

    assert hardware.gpu_note == ""


def test_a_mig_slice_can_be_chosen_by_its_uuid(read_on: Reader) -> None:
    (gpu,) = read_on("h100-mig", CUDA_VISIBLE_DEVICES="MIG-1111").gpus

    assert gpu.total_bytes == 9_984 * MIB


def test_a_card_that_answers_only_its_name_and_memory_is_still_used_and_its_silences_are_listed(
    read_on: Reader,
) -> None:
    (gpu,) = read_on("mute").gpus

    assert (gpu.total_bytes, gpu.free_bytes, gpu.used_bytes) == (8_192 * MIB, 8_092 * MIB, 100 * MIB)
    assert (gpu.temperature_celsius, gpu.utilisation_percent, gpu.compute_capability) == (None, None, None)
    assert (gpu.reserved_bytes, gpu.processes, gpu.mig) == (None, (), "off")
    silences = " ".join(gpu.problems)
    for question in ("temperature", "utilisation", "processes", "compute capability", "memory with the driver's share"):
        assert f"{question}: Not Supported" in silences
    assert not gpu.bf16.available
    assert "does not tell" in gpu.bf16.reason


def test_an_answer_the_binding_does_not_know_is_told_in_the_drivers_words(read_on: Reader) -> None:
    (gpu,) = read_on("unknown-error").gpus

    assert gpu.mig == "unknown"
    assert "MIG mode: No data" in gpu.problems


def test_a_card_that_shares_the_machines_ram_has_the_ram_as_its_memory(read_on: Reader) -> None:
    hardware = read_on("shared-ram")

    (gpu,) = hardware.gpus
    assert gpu.total_bytes == hardware.ram_total_bytes
    assert 0 < gpu.free_bytes <= gpu.total_bytes
    assert "taken as a card that shares the machine's RAM" in gpu.problems


def test_a_card_that_fell_off_the_bus_is_left_out_and_the_other_one_stays(read_on: Reader) -> None:
    hardware = read_on("one-lost")

    assert [gpu.name for gpu in hardware.gpus] == ["Tesla T4"]
    assert hardware.gpu_note.startswith("GPU 0 does not answer")
    assert "GPU is lost" in hardware.gpu_note


@pytest.mark.parametrize(
    ("scenario", "note"),
    [("mismatch", "sudo reboot"), ("not-loaded", "sudo modprobe nvidia"), ("no-device", "shows no card")],
)
def test_a_driver_that_cannot_be_used_says_why_and_what_to_do(read_on: Reader, scenario: str, note: str) -> None:
    hardware = read_on(scenario)

    assert (hardware.gpus, hardware.device_kind) == ((), "cpu")
    assert note in hardware.gpu_note


def test_without_a_driver_library_there_is_no_card_and_a_reason(tmp_path: Path) -> None:
    # An empty file in the loader's first place hides a real driver, if this machine has one.
    (tmp_path / "libnvidia-ml.so.1").touch()

    hardware = read_with_driver(tmp_path)

    assert hardware.gpus == ()
    assert "NVIDIA card" in hardware.gpu_note


def test_this_machine_survives_a_trip_through_json() -> None:
    hardware = emulate(read_hardware(), "t4")

    assert Hardware.from_json(json.loads(json.dumps(hardware.to_json()))) == hardware


def test_a_newer_versions_fields_are_ignored() -> None:
    hardware = emulate(read_hardware(), "t4")
    stored: dict[str, Any] = hardware.to_json() | {"later": 1}
    stored["gpus"] = [gpu | {"later": 1} for gpu in stored["gpus"]]

    assert Hardware.from_json(stored) == hardware


def test_disk_space_is_that_of_the_nearest_directory_that_exists(tmp_path: Path) -> None:
    place = tmp_path / "not" / "made" / "yet"

    hardware = read_hardware(place)

    assert hardware.disk_path == str(place)
    assert hardware.disk_free_bytes > 0


def test_a_smaller_card_rehearsed_on_a_real_one_keeps_the_real_ones_identity(read_on: Reader) -> None:
    gpu = emulate(read_on("h100"), "6GiB").best_gpu

    assert gpu is not None
    assert (gpu.uuid, gpu.compute_capability, gpu.free_bytes) == ("GPU-00000100-h100", (9, 0), 6 * GIB)


@pytest.fixture
def cpu_machine() -> Hardware:
    return dataclasses.replace(read_hardware(), gpus=(), gpu_note="none")


def test_a_processor_says_what_it_can_do_itself(cpu_machine: Hardware) -> None:
    fast = dataclasses.replace(cpu_machine, cpu_flags=("avx2", "avx512_bf16"))
    plain = dataclasses.replace(cpu_machine, cpu_flags=("avx2",))

    assert "avx512_bf16" in fast.bf16.reason
    assert plain.bf16.available
    assert "no instructions to speed it up" in plain.bf16.reason
    assert plain.four_bit.available
    assert not plain.flash_attention.available


def test_reading_the_hardware_loads_no_heavy_library() -> None:
    code = (
        "import sys, engine.hardware as h\n"
        "heavy = {'torch', 'pydantic', 'numpy', 'textual', 'transformers'}\n"
        "assert not (heavy | {'pynvml', 'psutil'}) & set(sys.modules)\n"
        "h.read_hardware()\n"
        "assert not heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)
