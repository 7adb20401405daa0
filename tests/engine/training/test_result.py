"""The result on disk: stock PEFT and transformers load it, and nothing damaged passes for a result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, MixtralConfig

from engine.checkpoints import MANIFEST
from engine.errors import DivergedError, RunDirError
from engine.file_hashes import sha256_of
from engine.training.result import compare, save_result

# peft asks a model of transformers under the old name of a property; it answers as ever.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

IDS = torch.tensor([[5, 9, 31, 200, 7, 7, 42]])


@pytest.fixture
def tuned(rig: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """A run with two steps behind it, and its trainer."""

    def make(family: str = "llama", **adapter: Any) -> tuple[Any, Any]:
        made = rig(family, adapter=adapter, training={"max_steps": 2, "save_steps": 100})
        return made, made.train(*made.build())

    return make


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("family", ["llama", "gemma3"])
@pytest.mark.parametrize("adapter", [{}, {"use_dora": True}, {"use_rslora": True}], ids=["lora", "dora", "rslora"])
def test_stock_peft_loads_the_adapter_and_answers_alike(
    tuned: Callable[..., tuple[Any, Any]], family: str, adapter: dict[str, Any], tiny_model_of: Callable[[str], Path]
) -> None:
    made, trainer = tuned(family, **adapter)
    saved = save_result(made.run, trainer.model, trainer.processing_class)
    assert saved.path == "adapter"
    base = AutoModelForCausalLM.from_pretrained(tiny_model_of(family), dtype=torch.float32)
    untouched = logits(base)
    loaded = PeftModel.from_pretrained(base, made.run.adapter)
    torch.testing.assert_close(logits(loaded), logits(trainer.model), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(logits(loaded), untouched, atol=1e-3), "two steps did change something"


def test_stock_transformers_loads_a_fully_trained_model(tuned: Callable[..., tuple[Any, Any]]) -> None:
    for family in ("llama", "gemma3"):  # the second ties its head to the embedding
        made, trainer = tuned(family, method="full")
        save_result(made.run, trainer.model, trainer.processing_class)
        loaded = AutoModelForCausalLM.from_pretrained(made.run.adapter, dtype=torch.float32)
        torch.testing.assert_close(logits(loaded), logits(trainer.model), rtol=1e-5, atol=1e-5)


def test_the_tokenizer_lies_beside_it_and_every_file_is_listed(tuned: Callable[..., tuple[Any, Any]]) -> None:
    made, trainer = tuned()
    saved = save_result(made.run, trainer.model, trainer.processing_class)
    tokenizer = AutoTokenizer.from_pretrained(made.run.adapter)
    assert tokenizer("<|im_start|>user")["input_ids"] == trainer.processing_class("<|im_start|>user")["input_ids"]
    assert tokenizer.chat_template == trainer.processing_class.chat_template
    listed = json.loads((made.run.adapter / MANIFEST).read_text())["files"]
    assert set(listed) == {path.name for path in made.run.adapter.iterdir()} - {MANIFEST}
    for name, entry in listed.items():
        path = made.run.adapter / name
        assert entry == {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    weights = made.run.adapter / "adapter_model.safetensors"
    assert (saved.num_bytes, saved.sha256) == (weights.stat().st_size, sha256_of(weights))
    assert [path.suffix for path in made.run.adapter.iterdir() if path.suffix in (".bin", ".pt", ".pkl")] == []


@pytest.mark.parametrize(("kind", "names"), [("hub", "someone/a-model"), ("bundled", "folder")])
def test_the_adapter_names_its_base_so_that_it_can_be_found(
    tuned: Callable[..., tuple[Any, Any]], kind: str, names: str, tiny_model_folder: Path
) -> None:
    made, trainer = tuned()
    record = {"name": "someone/a-model", "kind": kind, "folder": str(tiny_model_folder)}
    made.run.model.write_text(json.dumps(record))
    save_result(made.run, trainer.model, trainer.processing_class)
    config = json.loads((made.run.adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == (names if kind == "hub" else str(tiny_model_folder))


def test_a_second_result_replaces_the_first_whole(tuned: Callable[..., tuple[Any, Any]]) -> None:
    made, trainer = tuned()
    save_result(made.run, trainer.model, trainer.processing_class)
    (made.run.adapter / "stray.txt").write_text("left over")
    save_result(made.run, trainer.model, trainer.processing_class)
    assert not (made.run.adapter / "stray.txt").exists()
    assert [path.name for path in made.run.path.glob("adapter*")] == ["adapter"]


def damage(folder: Path, how: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Rewrite the weights of a result, changed."""
    (path,) = folder.glob("*.safetensors")
    tensors = load_file(path)
    how(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def flip_one_number(tensors: dict[str, torch.Tensor]) -> None:
    next(iter(tensors.values())).view(-1)[3] += 1e-3


def lose_a_tensor(tensors: dict[str, torch.Tensor]) -> None:
    del tensors[next(iter(tensors))]


def lose_everything(tensors: dict[str, torch.Tensor]) -> None:
    tensors.clear()


def shorten_a_tensor(tensors: dict[str, torch.Tensor]) -> None:
    name = next(iter(tensors))
    tensors[name] = tensors[name][:1].clone()


def round_a_tensor(tensors: dict[str, torch.Tensor]) -> None:
    name = next(iter(tensors))
    tensors[name] = tensors[name].bfloat16()


@pytest.mark.parametrize("how", [flip_one_number, lose_a_tensor, lose_everything, shorten_a_tensor, round_a_tensor])
@pytest.mark.parametrize(("family", "method"), [("llama", "lora"), ("llama", "full"), ("gemma3", "full")])
def test_weights_that_are_not_those_in_memory_are_refused(
    tuned: Callable[..., tuple[Any, Any]], how: Callable[[dict[str, torch.Tensor]], None], family: str, method: str
) -> None:
    made, trainer = tuned(family, method=method)
    save_result(made.run, trainer.model, trainer.processing_class)
    compare(made.run.adapter, trainer.model, is_adapter=method == "lora")
    damage(made.run.adapter, how)
    with pytest.raises(RunDirError) as caught:
        compare(made.run.adapter, trainer.model, is_adapter=method == "lora")
    assert "differ from those in memory" in caught.value.happened
    assert "finetui resume" in caught.value.remedy


def test_a_family_that_is_written_under_other_names_is_compared_by_loading_it(tmp_path: Path) -> None:
    """Mixtral holds the experts of a layer in one tensor and writes one for each."""
    with torch.random.fork_rng():
        model = AutoModelForCausalLM.from_config(
            MixtralConfig(
                vocab_size=64,
                hidden_size=32,
                intermediate_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=2,
                num_local_experts=2,
            )
        )
    model.save_pretrained(tmp_path)
    assert not model.state_dict().keys() <= load_file(tmp_path / "model.safetensors").keys()
    compare(tmp_path, model, is_adapter=False)
    damage(tmp_path, flip_one_number)
    with pytest.raises(RunDirError, match="differ from those in memory"):
        compare(tmp_path, model, is_adapter=False)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_no_result(
    tuned: Callable[..., tuple[Any, Any]], method: str, value: float
) -> None:
    made, trainer = tuned(method=method)
    trained = next(parameter for parameter in trainer.model.parameters() if parameter.requires_grad)
    with torch.no_grad():
        trained.view(-1)[0] = value
    with pytest.raises(DivergedError) as caught:
        save_result(made.run, trainer.model, trainer.processing_class)
    assert "not finite" in caught.value.happened
    assert "learning_rate" in caught.value.remedy
    assert not made.run.adapter.exists(), "nothing is put in place"
