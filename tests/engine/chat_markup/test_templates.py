"""Chat templates of real models, written for Ollama: every conversation renders as the model's own template does.

The evaluator stands for Go's text/template; on these very templates and conversations the two gave the same 903 prompts
(Go 1.19).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.conversation import Message
from engine.chat_markup.checking import checked_prompts
from engine.chat_markup.deriving import Markup, Render, derive
from engine.chat_markup.go_evaluation import evaluate
from engine.chat_markup.go_template import compose, quoted
from engine.chat_markup.served_chat import rendering_of
from engine.errors import ModelError

TEMPLATES: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("templates.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def render_of(tiny_models: Any) -> Callable[..., Render]:
    """(template, start token, end token) -> what renders a conversation with it."""

    def made(template: str, bos: str | None = None, eos: str | None = None) -> Render:
        tokenizer = tiny_models.tiny_tokenizer("chatml")
        tokenizer.chat_template, tokenizer.bos_token, tokenizer.eos_token = template, bos, eos
        return rendering_of(tokenizer, "chat")

    return made


def _derived(render: Render, entry: dict[str, Any]) -> tuple[Markup, str]:
    starts = entry["starts"] and render([Message("user", "a")]).startswith(entry["bos"])
    start_text = entry["bos"] if starts else ""
    return derive(render, start_text), start_text


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_template_of_a_real_model_is_expressed_in_ollamas_language(
    name: str, render_of: Callable[..., Render]
) -> None:
    entry = TEMPLATES[name]
    render = render_of(entry["template"], entry["bos"], entry["eos"])
    markup, start_text = _derived(render, entry)
    prompts = list(checked_prompts(compose(markup), markup, render, start_text))
    assert len(prompts) == (84 if markup.system else 21)
    assert not (entry["starts"] and start_text and prompts[0][1].startswith(entry["bos"]))


def test_a_default_system_text_is_used_where_there_is_no_other(render_of: Callable[..., Render]) -> None:
    entry = TEMPLATES["SmolLM2"]
    template = compose(derive(render_of(entry["template"], entry["bos"], entry["eos"])))
    default = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    assert default in evaluate(template, [Message("user", "hi")])
    own = evaluate(template, [Message("system", "Answer in venvy commands."), Message("user", "hi")])
    assert default not in own
    assert own == (
        "<|im_start|>system\nAnswer in venvy commands.<|im_end|>\n"
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_gemma_puts_the_system_text_into_the_first_turn_of_the_user(render_of: Callable[..., Render]) -> None:
    entry = TEMPLATES["Gemma 3"]
    markup, _ = _derived(render_of(entry["template"], entry["bos"], entry["eos"]), entry)
    assert (markup.before_system, markup.after_system) == ("<start_of_turn>user\n", "\n\n")
    assert {"user", "assistant"} == markup.trimmed
    assert markup.to_answer == "<end_of_turn>\n<start_of_turn>model\n"


def test_mistral_nemo_puts_the_system_text_before_the_last_turn_of_the_user(render_of: Callable[..., Render]) -> None:
    entry = TEMPLATES["Mistral Nemo"]
    markup, _ = _derived(render_of(entry["template"], entry["bos"], entry["eos"]), entry)
    assert markup.system == "before the last user"
    turns = [Message("system", "S"), Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    assert evaluate(compose(markup), turns) == "[INST]a[/INST]b</s>[INST]S\n\nc[/INST]"


def test_a_template_that_numbers_its_turns_is_refused_with_the_place_where_the_two_differ(
    render_of: Callable[..., Render],
) -> None:
    render = render_of("{% for m in messages %}{{ loop.index }}: {{ m['content'] }}\n{% endfor %}")
    markup = derive(render)
    with pytest.raises(ModelError, match="it goes on with '") as caught:
        list(checked_prompts(compose(markup), markup, render))
    assert "--jinja" in caught.value.remedy


def test_a_template_that_leaves_earlier_turns_out_is_refused(render_of: Callable[..., Render]) -> None:
    with pytest.raises(ModelError, match="leaves messages out"):
        derive(render_of("{{ messages[-1]['content'] }}"))


def test_a_template_that_takes_one_turn_only_is_refused_in_its_own_words(render_of: Callable[..., Render]) -> None:
    template = (
        "{% if messages|length > 1 %}{{ raise_exception('one turn only') }}{% endif %}{{ messages[0]['content'] }}"
    )
    with pytest.raises(ModelError, match="one turn only"):
        derive(render_of(template))


def test_braces_quotes_and_line_breaks_of_the_markup_survive() -> None:
    markup = Markup('{{ "a" }}\n', "<{{", '}}>\\"\t', "\u2028|", " }} ", "{%\x07", "first", frozenset())
    turns = [Message("system", "s"), Message("user", "u"), Message("assistant", "{{a}}"), Message("user", "v")]
    assert evaluate(compose(markup), turns) == '<{{s}}>\\"\tu\u2028|{{a}}{%\x07v }} '
    assert evaluate(compose(markup), turns[1:2]) == '{{ "a" }}\nu }} '


def test_trim_markers_take_the_blanks_beside_them_and_nothing_else() -> None:
    assert evaluate("a \n{{- .Prompt -}}\n b {{ .Prompt }} c", [Message("user", " x ")]) == "a x b  x  c"
    assert evaluate(f"{{{{ {quoted('}} -}} ')} }}}} d", [Message("user", "x")]) == "}} -}}  d"


def test_what_the_evaluator_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="not known here: index"):
        evaluate("{{ index .Messages 0 }}", [Message("user", "x")])
