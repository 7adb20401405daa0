"""A folder for Ollama: the GGUF file, and a Modelfile that asks the model as training did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.conversation import Message
from engine.chat_markup.go_evaluation import evaluate
from engine.chat_markup.go_template import COMPLETION
from engine.chat_markup.modelfile import read
from engine.chat_markup.served_chat import completion_chat, served_chat
from engine.errors import ModelError
from engine.exporters import Job, ollama
from engine.gguf_writing import write_gguf
from engine.recipe import Recipe
from tests.engine.evaluation.conftest import SYSTEM, Rig

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(scope="session")
def file_of(tiny_model_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Family -> its tiny model as a GGUF file."""

    def made(family: str) -> Path:
        target = tmp_path_factory.mktemp("gguf") / f"{family}.gguf"
        return write_gguf(tiny_model_of(family), target, name=family).path

    return made


def _tokenizer(folder: Path) -> Any:
    from engine.training.tokenizer_loading import load_tokenizer

    return load_tokenizer(folder)


def test_a_run_becomes_a_folder_whose_modelfile_asks_as_training_did(
    rig: Callable[..., Rig], job_of: Callable[..., Job]
) -> None:
    made = rig()
    (event,) = ollama.EXPORTER.export(job_of(made, quantizations=["F16"], name="My Model"))
    folder = made.run.path / event.path
    modelfile = read((folder / "Modelfile").read_text(encoding="utf-8"))
    file = folder / modelfile.model
    assert file.read_bytes()[:4] == b"GGUF"
    assert file.stat().st_nlink > 1
    assert modelfile.system == SYSTEM
    assert modelfile.parameters[0] == ("stop", "<|im_end|>")
    assert {"num_ctx", "temperature", "repeat_penalty"} <= {name for name, _ in modelfile.parameters}
    prompt = evaluate(modelfile.template, [Message("system", SYSTEM), Message("user", "list them")])
    assert (
        prompt
        == f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\nlist them<|im_end|>\n<|im_start|>assistant\n"
    )
    assert any("`ollama create` was not run here" in note and "create my-model -f" in note for note in event.notes)
    before = (folder / "Modelfile").stat().st_mtime_ns
    assert ollama.EXPORTER.export(job_of(made, quantizations=["F16"], name="My Model")) == [event]
    assert (folder / "Modelfile").stat().st_mtime_ns == before


def test_a_start_token_that_llama_cpp_adds_itself_is_not_in_the_template(
    tiny_model_of: Callable[[str], Path], file_of: Callable[[str], Path]
) -> None:
    tokenizer = _tokenizer(tiny_model_of("gemma3"))
    chat = served_chat(tokenizer, "chat", file_of("gemma3"), ("<end_of_turn>",))
    assert "<bos>" not in chat.template
    assert chat.num_checked > 10
    assert any("no place for a system message" in note for note in chat.notes)
    assert any("blanks around messages" in note for note in chat.notes)


def test_a_system_text_without_a_place_in_the_template_is_refused(
    tiny_model_of: Callable[[str], Path], file_of: Callable[[str], Path]
) -> None:
    tokenizer = _tokenizer(tiny_model_of("gemma3"))
    with pytest.raises(ModelError, match="no place for one"):
        served_chat(tokenizer, "chat", file_of("gemma3"), ("<end_of_turn>",), system="Be brief.")


def test_requests_and_answers_without_a_chat_template_keep_the_line_break_between_them(
    tiny_model_of: Callable[[str], Path], file_of: Callable[[str], Path]
) -> None:
    chat = served_chat(_tokenizer(tiny_model_of("llama")), "plain", file_of("llama"), ("<|im_end|>",))
    assert evaluate(chat.template, [Message("system", "S"), Message("user", "u")]) == "S\nu\n"


def test_plain_text_is_continued_as_it_is() -> None:
    assert completion_chat(("</s>",)).template == COMPLETION == "{{ .Prompt }}"


def test_other_tokens_than_in_training_are_refused_although_the_texts_agree(
    tiny_model_of: Callable[[str], Path], tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    tokenizer = _tokenizer(tiny_model_of("llama"))
    specification = json.loads(tokenizer.backend_tokenizer.to_str())
    for added in specification["added_tokens"]:
        added["rstrip"] = True
    path = write_gguf(tiny_model_of("llama"), tmp_path / "a.gguf", name="tiny").path
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(specification))
    with pytest.raises(ModelError, match="would read other tokens than in training"):
        served_chat(tokenizer, "chat", path, ("<|im_end|>",))


def test_a_system_text_that_no_modelfile_can_hold_is_refused_before_training() -> None:
    values = {"model": {"name_or_path": "none"}, "data": {"dataset": "rows.jsonl", "system": 'Say """\nnothing'}}
    (problem,) = ollama.EXPORTER.problems(Recipe.from_values(values), None)
    assert problem.field == "data.system"
    values["data"]["system"] = 'Say """nothing""" else'
    assert ollama.EXPORTER.problems(Recipe.from_values(values), None) == []
