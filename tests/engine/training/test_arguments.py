"""What upstream is told: only arguments it has, nothing reported anywhere, no warning left unexplained."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig
from transformers import TrainingArguments
from trl import SFTConfig

from engine.training import arguments
from engine.training.arguments import lora_config, sft_config


def named_arguments(function: str) -> set[str]:
    """The keywords that the call in one of the module's functions passes."""
    tree = ast.parse(inspect.getsource(getattr(arguments, function)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func)[-6:] == "Config"]
    (call,) = calls
    return {keyword.arg for keyword in call.keywords if keyword.arg}


@pytest.mark.parametrize(("function", "config"), [("sft_config", SFTConfig), ("lora_config", LoraConfig)])
def test_every_argument_named_is_one_that_upstream_has(function: str, config: Any) -> None:
    assert named_arguments(function) <= {field.name for field in fields(config) if field.init}


@pytest.fixture
def told(rig: Callable[..., Any], tmp_path: Path) -> Callable[..., SFTConfig]:
    def config(**sections: Any) -> SFTConfig:
        made = rig(**sections)
        return sft_config(made.recipe, made.plan, tmp_path / "out", has_eval=True, save_steps=3)

    return config


def test_nothing_is_reported_pushed_or_drawn(told: Callable[..., SFTConfig]) -> None:
    config = told()
    assert config.report_to == []
    assert (config.push_to_hub, config.disable_tqdm, config.auto_find_batch_size) == (False, True, False)
    assert config.dataset_kwargs == {"skip_prepare_dataset": True}
    assert config.max_length is None, "rows arrive cut"


def test_the_numbers_are_those_of_plan_and_recipe(told: Callable[..., SFTConfig]) -> None:
    config = told(
        training={
            "per_device_train_batch_size": 3,
            "gradient_accumulation_steps": 5,
            "num_train_epochs": 2.5,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 0.1,
            "weight_decay": 0.01,
            "max_grad_norm": 0.5,
            "seed": 7,
            "eval_steps": 4,
        }
    )
    assert (config.per_device_train_batch_size, config.gradient_accumulation_steps) == (3, 5)
    assert (config.num_train_epochs, config.max_steps) == (2.5, -1)
    assert config.lr_scheduler_type == "cosine"
    assert config.get_warmup_steps(100) == 10, "below 1 it is a share of all steps"
    assert (config.weight_decay, config.max_grad_norm) == (0.01, 0.5)
    assert (config.seed, config.data_seed) == (7, 7)
    assert (config.eval_strategy, config.eval_steps) == ("steps", 4)
    assert (config.save_strategy, config.save_steps, config.save_total_limit) == ("steps", 3, None)
    assert (config.logging_steps, config.logging_nan_inf_filter) == (1, False)
    assert config.use_cpu
    assert (config.bf16, config.fp16) == (False, False)
    assert config.activation_checkpointing is config.gradient_checkpointing is False


def test_autocast_and_checkpointing_follow_the_plan(rig: Callable[..., Any], tmp_path: Path) -> None:
    made = rig()
    plan = replace(made.plan, autocast="bfloat16", gradient_checkpointing=True)
    config = sft_config(made.recipe, plan, tmp_path, has_eval=False, save_steps=1)
    assert (config.bf16, config.fp16) == (True, False)
    assert config.activation_checkpointing is config.gradient_checkpointing is True
    assert config.eval_strategy == "no"


def test_upstream_has_no_way_left_to_end_or_save_on_its_own(told: Callable[..., SFTConfig]) -> None:
    config = told()
    for name in ("enable_jit_checkpoint", "load_best_model_at_end", "save_on_each_node", "torch_compile"):
        assert name in {field.name for field in fields(TrainingArguments)}
        assert not getattr(config, name)


def test_an_adapter_is_what_the_plan_says(rig: Callable[..., Any]) -> None:
    made = rig(
        adapter={"r": 3, "lora_alpha": 5, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"], "use_dora": True}
    )
    config = lora_config(made.plan)
    assert config is not None
    assert (config.r, config.lora_alpha, config.lora_dropout) == (3, 5, 0.1)
    assert config.target_modules == {"q_proj", "v_proj"}
    assert (config.use_dora, config.use_rslora, config.bias, config.task_type) == (True, False, "none", "CAUSAL_LM")
    everything = lora_config(rig(adapter={"use_rslora": True}).plan)
    assert everything is not None
    assert (everything.target_modules, everything.use_rslora) == ("all-linear", True)
    assert lora_config(rig(adapter={"method": "full"}).plan) is None


# peft asks a model of transformers under the old name of a property; it answers as ever.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("padding_free", [True, False])
@pytest.mark.parametrize("gradient_checkpointing", [True, False])
def test_an_attempt_warns_of_nothing_and_sends_nothing(
    rig: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    padding_free: bool,
    gradient_checkpointing: bool,
) -> None:
    """Warnings are errors in a test, and the tests' network refuses and reports every call.

    TRL pings when a trainer is made, unless told not to. Tests are offline, which would silence it too: here
    it is told by HF_HUB_DISABLE_TELEMETRY alone, as the program does it.
    """
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delenv("CI", raising=False)
    made = rig(training={"max_steps": 2, "padding_free": padding_free}, autocast="bfloat16")
    trainer, callback = made.build(gradient_checkpointing=gradient_checkpointing)
    made.train(trainer, callback)
    assert [event.step for event in made.steps()] == [1, 2]
