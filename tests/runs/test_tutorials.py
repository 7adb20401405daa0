"""The tutorials, typed from top to bottom on a machine whose hub cache holds tiny models under the real names.

Everything runs as it would on a card, but for its size: preparation, probe, QLoRA, scores, exports. Not here: what such
a model would score, which no tutorial claims; the other documents (tests/contracts).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.units import format_bytes, parse_bytes
from presets.preset import all_presets, preset
from tests.documents import CHECKOUT, TWO_STEPS, blocks, walk
from tests.hub_cache import parquet, put, put_model
from tui_app.cli import main

TUTORIALS = CHECKOUT / "docs" / "tutorials"
WITH_TUTORIAL = tuple(each.name for each in all_presets() if each.name != "demo-cpu")
FAMILY = {
    "google/gemma-3-270m": "gemma3",
    "google/gemma-3-1b-it": "gemma3",
    "google/gemma-3-12b-it": "gemma3",
    "Qwen/Qwen2.5-Coder-0.5B": "qwen2",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": "llama",
}
SYSTEM_IN_REQUEST = (
    b"{{ bos_token }}{% set first = '' %}{% if messages[0]['role'] == 'system' %}"
    b"{% set first = messages[0]['content'] + '\n\n' %}{% set messages = messages[1:] %}{% endif %}"
    b"{% for message in messages %}"
    b"{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    b"{{ '<start_of_turn>' + role + '\n' + (first if loop.first else '') + (message['content'] | trim) }}"
    b"{{ '<end_of_turn>\n' }}{% endfor %}"
    b"{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
"""As Gemma 3's own template: a system message stands at the beginning of the first request."""


IN_EVERY_RUN = ("gemma-270m-csv",)
"""Rows of a file. The others take their minute each in `make test-long`."""
NO_PROBE = ("trinity-gemma3-12b-16gb",)
"""Its rows are the longest, and DoRA on 4 bits is slow on a CPU."""
SMALLER = ("training.gradient_accumulation_steps=1", "evaluation.max_new_tokens=8")


def short(name: str) -> dict[str, tuple[str, ...]]:
    """What is typed more than in the tutorial of that preset. A dry run of a real model takes a minute or more."""
    is_made = preset(name).recipe().data.dataset.startswith("generator:")
    steps = [value for value in TWO_STEPS if is_made or not value.startswith("data.generator_rows")]
    return {
        f"replay {name} --set data.dataset=tar.jsonl": (),
        "plan": ("--closed-form",),
        "doctor": ("--quick",),
        "replay": (*steps, "data.max_rows=60", *SMALLER, *(["memory.probe=false"] if name in NO_PROBE else [])),
        "chat": ("--max-new-tokens=8",),
    }


def tasks(first: int, number: int) -> bytes:
    """So many tasks in the columns of MBPP."""
    numbers = range(first, first + number)
    return parquet(
        [
            {
                "task_id": each,
                "text": f"Write a function that adds {each} to a number.",
                "code": f"def add_{each}(x):\n    return x + {each}",
                "test_list": [f"assert add_{each}(1) == {each + 1}"],
            }
            for each in numbers
        ]
    )


@pytest.fixture(scope="module")
def hub_cache(tiny_model_of: Callable[[str], Path]) -> Iterator[Path]:
    """The models and the dataset that the presets name, where the hub's library looks for them."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    entries = []
    for repo, family in FAMILY.items():
        template = {"chat_template.jinja": SYSTEM_IN_REQUEST} if family == "gemma3" else {}
        entries.append(put_model(cache, repo, tiny_model_of(family), template))
    parts = {f"full/{split}-00000-of-00001.parquet": tasks(100 * n, 20) for n, split in enumerate(("train", "test"))}
    entries.append(put(cache, "datasets", "google-research-datasets/mbpp", {"README.md": b"# mbpp", **parts}))
    yield cache
    for entry in entries:
        shutil.rmtree(entry)


def test_every_preset_for_a_card_has_a_tutorial_that_the_index_names() -> None:
    pages = {path.stem for path in TUTORIALS.glob("*.md")} - {"README"}
    assert pages == set(WITH_TUTORIAL)
    index = (TUTORIALS / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([a-z0-9-]+)\.md\)", index)) == pages


def test_the_commands_of_the_index_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = list(walk(TUTORIALS / "README.md", tmp_path, lambda words: main(list(words))))
    assert [(each.command, each.code) for each in done] == [("finetui presets", 0)]


@pytest.mark.parametrize("name", WITH_TUTORIAL)
def test_a_tutorial_claims_no_result_and_says_why(name: str) -> None:
    text = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    assert "nobody has run this preset on a card yet" in " ".join(text.split())


@pytest.mark.parametrize("name", WITH_TUTORIAL)
def test_only_what_needs_another_machine_is_left_out(name: str) -> None:
    said = [block.said_of("not run") for block in blocks(TUTORIALS / f"{name}.md")]
    assert all(re.search(r"network|Ollama|card|terminal", reason) for reason in said if reason is not None)


@pytest.mark.parametrize("name", WITH_TUTORIAL)
def test_the_memory_that_a_tutorial_shows_is_what_the_formula_says_within_a_third(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # without rows, as the dry run that is shown: each counts as max_length tokens
    text = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    shown = re.search(r"^FITS: needs ([\d.]+ GiB) of ([\d.]+ GiB)\.$", text, re.MULTILINE)
    card = re.search(rf"^finetui plan {name} --device (\S+)$", text, re.MULTILINE)
    assert shown
    assert card
    assert main(["plan", name, "--device", card[1], "--closed-form", "--json"]) == 0
    memory = json.loads(capsys.readouterr().out)["plan"]["memory"]
    assert memory["verdict"] == "fits"
    assert format_bytes(memory["capacity_bytes"]) == shown[2]
    assert memory["needed_bytes"] == pytest.approx(parse_bytes(shown[1].replace(" ", "")), rel=1 / 3)


@pytest.mark.slow(seconds=80)
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("hub_cache")
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # as a detached run should be
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in IN_EVERY_RUN else pytest.mark.long) for name in WITH_TUTORIAL]
)
def test_every_command_of_a_tutorial_does_what_it_says(
    name: str,
    lone_runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    def finetui(words: Any) -> int:
        try:
            return main(list(words))
        except SystemExit as end:
            return int(end.code or 0)

    for done in walk(TUTORIALS / f"{name}.md", tmp_path, finetui, added=short(name)):
        assert done.code == done.expected, (done, capsys.readouterr())
    assert (lone_runs / "runs" / f"{name}-1" / "adapter" / "adapter_model.safetensors").is_file()
