"""Tiny random models written as GGUF files of 16 bits, and the folders they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.gguf_writing import write_gguf


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More would only wait for each other on models this small."""
    import torch

    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.random.set_rng_state(state)


@pytest.fixture(scope="session")
def tiny_gguf(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama; its rows are 64 and 128 wide."""
    path = tmp_path_factory.mktemp("gguf") / "tiny-F16.gguf"
    return write_gguf(tiny_model_folder, path, name="tiny").path


@pytest.fixture(scope="session")
def wide_gguf(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine layers whose rows are multiples of 256, as k-quants want them."""
    folder = tmp_path_factory.mktemp("wide")
    sizes = {"hidden_size": 256, "intermediate_size": 256, "head_dim": 32}
    model = tiny_models.write_heavy_model(folder / "model", "llama", layers=9, sizes=sizes)
    return write_gguf(model, folder / "wide-F16.gguf", name="wide").path


@pytest.fixture
def loaded(tiny_model_folder: Path) -> Callable[[], Any]:
    """The tiny Llama in torch."""

    def load() -> Any:
        from engine.training.model_loading import load_model

        return load_model(tiny_model_folder, dtype="float32")

    return load
