"""What an attempt makes of its plan before the first step. Whole attempts, with their processes, are in tests/runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Lfm2Config

from engine.errors import ModelError
from engine.event_log import EventWriter, read_events
from engine.events import WarningRaised
from engine.recipe import Recipe
from engine.training.building import base_model, expand_grouped_queries
from engine.training.model_loading import load_model


@pytest.fixture
def convolutional(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A model whose layers look at their neighbours' tokens whatever row they are of."""
    folder = tmp_path / "lfm2"
    shutil.copytree(tiny_model_folder, folder)
    vocab_size = json.loads((folder / "config.json").read_text())["vocab_size"]
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2}
    with torch.random.fork_rng():
        config = Lfm2Config(vocab_size=vocab_size, layer_types=["conv", "full_attention"], num_hidden_layers=2, **sizes)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def test_rows_that_cannot_be_joined_are_padded_and_the_run_says_so(
    rig: Callable[..., Any], convolutional: Path, tmp_path: Path
) -> None:
    made = rig()
    automatic = Recipe.from_values(_with(made.recipe, "auto"))
    model, plan = base_model(convolutional, automatic, made.plan, EventWriter(tmp_path / "attempt-1.jsonl"))
    assert not plan.padding_free
    assert model.config._attn_implementation == "sdpa"
    (told,) = [stamped.event for stamped in read_events(tmp_path)]
    assert isinstance(told, WarningRaised)
    assert "padded instead of joined" in told.text


def test_rows_that_would_mix_are_refused_where_the_recipe_insists(
    rig: Callable[..., Any], convolutional: Path, tmp_path: Path
) -> None:
    made = rig()
    insisting = Recipe.from_values(_with(made.recipe, True))
    with pytest.raises(ModelError, match="cannot be joined without padding"):
        base_model(convolutional, insisting, made.plan, EventWriter(tmp_path / "attempt-1.jsonl"))


def _with(recipe: Recipe, padding_free: bool | str) -> dict[str, Any]:
    values = recipe.model_dump(mode="json", exclude_none=True)
    values["training"]["padding_free"] = padding_free
    return values


def test_grouped_queries_are_expanded_where_no_kernel_takes_them(
    tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen by the heads that reach PyTorch's attention: as many keys as queries, and the same logits."""
    from torch.overrides import TorchFunctionMode
    from transformers.integrations import sdpa_attention

    class Heads(TorchFunctionMode):
        seen: set[tuple[int, int]]

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.nn.functional.scaled_dot_product_attention:
                self.seen.add((args[0].shape[1], args[1].shape[1]))
            return func(*args, **(kwargs or {}))

    monkeypatch.setattr(sdpa_attention, "use_gqa_in_sdpa", sdpa_attention.use_gqa_in_sdpa)  # restored afterwards
    model = load_model(tiny_model_folder, dtype="float32")
    ids = torch.arange(6)[None]
    logits, heads = [], []
    for expand in (lambda: None, expand_grouped_queries):
        expand()
        with torch.no_grad(), Heads() as mode:
            mode.seen = set()
            logits.append(model(ids).logits)
            heads.append(mode.seen)
    assert all(queries > keys for queries, keys in heads[0])
    assert all(queries == keys for queries, keys in heads[1])
    assert torch.allclose(logits[0], logits[1], atol=1e-5)
