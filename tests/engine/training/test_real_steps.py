"""Real steps against the dry run: two of the cases of benchmarks/real_steps.py, each within 1 %."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

# peft asks a model of transformers under the old name of a property; it answers as ever.
pytestmark = [
    pytest.mark.slow(seconds=30),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "real_steps.py"
FAST = ("lora", "qlora, one scale a block")


@pytest.fixture(scope="module")
def real_steps() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("real_steps", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    threads = torch.get_num_threads()
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]
    torch.set_num_threads(threads)


def test_the_dry_run_is_within_one_percent_of_real_steps(real_steps: ModuleType) -> None:
    """LoRA on all 30 layers of SmolLM2's shape, and bitsandbytes' real 4-bit layers."""
    cases = [case for case in real_steps.CASES if case.name in FAST]
    assert len(cases) == len(FAST)
    off = {name: predicted / real - 1 for name, real, predicted in real_steps.rows(cases)}
    assert {name: share for name, share in off.items() if abs(share) > real_steps.MOST_OFF} == {}
