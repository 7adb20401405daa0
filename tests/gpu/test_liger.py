"""Liger's kernels on a real card, where its package is installed: the model computes what it computed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from engine.hardware import read_hardware
from engine.training import liger
from engine.training.model_loading import load_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(read_hardware().best_gpu is None, reason="this machine has no NVIDIA card"),
    pytest.mark.skipif(find_spec("liger_kernel") is None, reason="liger-kernel is not installed"),
]


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_its_kernels_pass_the_comparison(family: str, dtype: str, tiny_model_of: Callable[[str], Path]) -> None:
    model = load_model(tiny_model_of(family), dtype=dtype, device="cuda:0")
    assert liger.unusable_because(model, autocast="bfloat16") == ""
