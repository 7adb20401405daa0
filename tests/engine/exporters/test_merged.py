"""The merged model: the same as PEFT makes, tensor by tensor, without the whole model in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import FinetuiError
from engine.exporters import Job, merged
from engine.exporters.merged import merged_folder
from engine.exporters.merging import UnknownLayoutError, planned_merge, write_merged
from engine.exporters.placing import MANIFEST
from engine.known_models import KNOWN_MODELS
from engine.recipe import Recipe
from tests.engine.evaluation.conftest import Rig

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

ROUNDING = {"float32": 1e-5, "bfloat16": 2**-7, "float16": 2**-9}
"""Largest relative difference of one weight: PEFT rounds the change before it is added, and the sum again."""


def an_adapter(base: Path, folder: Path, **config: Any) -> Path:
    """An adapter of random weights on a base, saved by PEFT."""
    import torch
    from peft import LoraConfig, get_peft_model

    from engine.training.model_loading import load_model

    torch.manual_seed(3)
    settings = {"r": 4, "lora_alpha": 16, "target_modules": "all-linear", "init_lora_weights": False} | config
    model = get_peft_model(load_model(base, dtype="float32"), LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "magnitude" in name or "modules_to_save" in name:
                parameter.mul_(1.1)
    model.save_pretrained(folder, save_embedding_layers=False)
    return folder


def in_dtype(base: Path, folder: Path, dtype: str) -> Path:
    """The same model stored in another type, in several files."""
    from engine.training.model_loading import load_model

    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    load_model(base, dtype=dtype).save_pretrained(folder, max_shard_size="100KB")
    return folder


def merged_by_peft(base: Path, adapter: Path, dtype: str) -> dict[str, Any]:
    from peft import PeftModel

    from engine.training.model_loading import load_model

    model: Any = PeftModel.from_pretrained(load_model(base, dtype=dtype), str(adapter))
    state: dict[str, Any] = model.merge_and_unload().state_dict()
    return state


def ours(base: Path, adapter: Path, folder: Path) -> dict[str, Any]:
    """What is written, read by the library itself."""
    from safetensors.torch import load_file

    folder.mkdir()
    write_merged(planned_merge(base, adapter), folder, lambda _done, _total: None)
    return {name: tensor for path in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(path).items()}


@pytest.mark.parametrize(
    ("dtype", "config"),
    [
        ("float32", {}),
        ("bfloat16", {}),
        ("float16", {"use_rslora": True}),
        ("float32", {"use_dora": True}),
        ("bfloat16", {"use_dora": True, "use_rslora": True}),
        ("float32", {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.mlp.up_proj": 3}}),
        ("float32", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
    ],
)
def test_every_tensor_is_that_of_pefts_merge(
    dtype: str, config: dict[str, Any], tiny_model_folder: Path, tmp_path: Path
) -> None:
    import torch

    base = in_dtype(tiny_model_folder, tmp_path / "base", dtype)
    adapter = an_adapter(base, tmp_path / "adapter", **config)
    expected, written = merged_by_peft(base, adapter, dtype), ours(base, adapter, tmp_path / "merged")
    assert written.keys() == expected.keys()
    for name, tensor in written.items():
        assert tensor.dtype == getattr(torch, dtype)
        scale = expected[name].abs().max().float()
        assert float((tensor.float() - expected[name].float()).abs().max()) <= ROUNDING[dtype] * scale, name


def test_a_sharded_base_stays_sharded_and_loads(tiny_model_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    base = in_dtype(tiny_model_folder, tmp_path / "base", "float32")
    adapter = an_adapter(base, tmp_path / "adapter")
    ours(base, adapter, tmp_path / "merged")
    shutil.copyfile(base / "config.json", tmp_path / "merged" / "config.json")
    index = json.loads((tmp_path / "merged" / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1
    loaded, told = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    expected = merged_by_peft(base, adapter, "float32")
    assert all(bool((tensor - expected[name]).abs().max() < 1e-5) for name, tensor in loaded.state_dict().items())


def test_a_head_trained_apart_from_its_embedding_is_written_apart(
    tiny_model_of: Callable[[str], Path], tmp_path: Path
) -> None:
    base = tiny_model_of("qwen2")
    with pytest.warns(UserWarning, match="tie"):
        adapter = an_adapter(base, tmp_path / "adapter", target_modules=["q_proj", "lm_head"])
    merge = planned_merge(base, adapter)
    assert merge.untied
    written = ours(base, adapter, tmp_path / "merged")
    embedding = written["model.embed_tokens.weight"]
    assert not bool((written["lm_head.weight"] == embedding).all())


def test_an_adapter_whose_names_do_not_fit_the_files_is_left_to_peft(tiny_model_folder: Path, tmp_path: Path) -> None:
    adapter = an_adapter(tiny_model_folder, tmp_path / "adapter", target_modules=["embed_tokens"])
    with pytest.raises(UnknownLayoutError, match="embed_tokens"):
        planned_merge(tiny_model_folder, adapter)


def test_the_merged_model_is_checked_and_says_from_what_it_was_made(
    rig: Callable[..., Rig], job_of: Callable[..., Job]
) -> None:
    job = job_of(rig(method="qlora"))
    (event,) = merged.EXPORTER.export(job)
    folder = job.run.path / event.path
    assert (event.artifact, event.file_type, event.num_rows) == ("merged", "float32", 4)
    assert event.agreement == 1.0
    assert any("trained on a 4-bit base, merged into its unquantized weights" in note for note in event.notes)
    assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json", MANIFEST}
    card = (folder / "README.md").read_text()
    assert "QLoRA" in card
    assert str(job.run.path.parent) not in card
    assert merged_folder(job) == folder
    assert not any(path.name.startswith(".") for path in job.run.exports.iterdir())


def test_a_model_trained_whole_is_copied(rig: Callable[..., Rig], job_of: Callable[..., Job]) -> None:
    job = job_of(rig(method="full"))
    (event,) = merged.EXPORTER.export(job)
    written = job.run.path / event.path / "model.safetensors"
    assert written.read_bytes() == (job.run.adapter / "model.safetensors").read_bytes()
    assert event.agreement == 1.0


def test_what_is_up_to_date_is_not_made_again_unless_asked(rig: Callable[..., Rig], job_of: Callable[..., Job]) -> None:
    made = rig()
    job = job_of(made)
    (first,) = merged.EXPORTER.export(job)
    weights = job.run.path / first.path / "model.safetensors"
    before = weights.stat().st_ino
    assert merged.EXPORTER.export(job) == [first]
    assert weights.stat().st_ino == before
    merged.EXPORTER.export(job_of(made, force=True))
    assert weights.stat().st_ino != before


def test_a_merge_that_changes_what_the_model_says_is_refused_and_the_one_before_is_kept(
    rig: Callable[..., Rig], job_of: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rig()
    (first,) = merged.EXPORTER.export(job_of(made))
    kept = (made.run.path / first.path / "model.safetensors").read_bytes()
    monkeypatch.setitem(merged.BOUNDS, "float32", 1e-12)
    with pytest.raises(FinetuiError, match=r"logits are .* away"):
        merged.EXPORTER.export(job_of(made, force=True))
    assert (made.run.path / first.path / "model.safetensors").read_bytes() == kept
    assert [path.name for path in made.run.exports.iterdir()] == ["merged"]


def test_a_disk_too_small_for_the_merged_model_is_known_before_training(tmp_path: Path) -> None:
    values = {"model": {"name_or_path": "m"}, "data": {"dataset": "d"}, "run": {"root": str(tmp_path)}}
    recipe = Recipe.from_values(values)
    config = KNOWN_MODELS["google/gemma-3-1b-it"].config
    assert merged.EXPORTER.problems(recipe, config) == []
    (problem,) = merged.EXPORTER.problems(recipe, {**config, "intermediate_size": 10**10})
    assert "the merged model takes about" in problem.happened
