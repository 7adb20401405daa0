"""Quantizing: the types llama.cpp really chooses, foreseen and read back; a process that may die."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from engine.errors import ModelError, RunDirError
from engine.gguf_runtime.file_types import CODES, contents, foresee
from engine.gguf_runtime.quantizing import check_file_type, quantize


@pytest.mark.parametrize("file_type", CODES)
def test_what_is_foreseen_is_what_llama_cpp_writes(
    tiny_gguf: Path, wide_gguf: Path, tmp_path: Path, file_type: str
) -> None:
    for source in (tiny_gguf, wide_gguf) if file_type.endswith("_M") else (tiny_gguf,):
        foreseen = foresee(contents(source).tensors, file_type)
        written = quantize(source, tmp_path / "out.gguf", file_type)
        assert written.tensor_types == foreseen.tensor_types
        assert written.bits_per_weight == pytest.approx(foreseen.bits_per_weight)
        assert written.fallbacks == foreseen.fallbacks
        assert contents(written.path).file_type == file_type


def test_narrow_rows_are_told_with_the_real_bits_and_a_better_type(tiny_gguf: Path, wide_gguf: Path) -> None:
    narrow = foresee(contents(tiny_gguf).tensors, "Q4_K_M")
    assert narrow.better == "Q8_0"
    assert "64 and 128 wide, no multiple of 256" in narrow.sentence
    assert f"{narrow.bits_per_weight:.2f} bits per weight" in narrow.sentence
    wide = foresee(contents(wide_gguf).tensors, "Q4_K_M")
    assert (wide.fallbacks, wide.sentence) == (0, "")


def test_progress_is_told_and_an_interruption_leaves_nothing(tiny_gguf: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    quantize(tiny_gguf, tmp_path / "whole.gguf", "Q8_0", progress=lambda *each: told.append(each))
    assert told[-1][0] == told[-1][1] == len(contents(tiny_gguf).tensors)

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize(tiny_gguf, tmp_path / "half.gguf", "Q8_0", progress=stop)
    assert not (tmp_path / "half.gguf").exists()


def test_a_process_that_dies_is_an_error_and_leaves_nothing(wide_gguf: Path, tmp_path: Path) -> None:
    def kill(_done: int, _total: int) -> None:
        for child in psutil.Process().children():
            child.send_signal(signal.SIGABRT)

    with pytest.raises(ModelError, match="its process ended with -6"):
        quantize(wide_gguf, tmp_path / "half.gguf", "Q4_K_M", progress=kill)
    assert not (tmp_path / "half.gguf").exists()


def test_a_quantized_file_is_not_quantized_again(tiny_gguf: Path, tmp_path: Path) -> None:
    once = quantize(tiny_gguf, tmp_path / "once.gguf", "Q8_0").path
    with pytest.raises(ModelError, match="quantized already"):
        quantize(once, tmp_path / "twice.gguf", "Q4_K_M")


def test_a_full_disk_is_an_error_of_the_disk(tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "full.gguf").symlink_to("/dev/full")
    with pytest.raises(RunDirError, match="could not be written whole"):
        quantize(tiny_gguf, tmp_path / "full.gguf", "Q8_0")


def test_a_name_that_is_not_the_headers_type_is_an_error(tiny_gguf: Path) -> None:
    with pytest.raises(ModelError, match="header says F16"):
        check_file_type(tiny_gguf, "Q8_0")
