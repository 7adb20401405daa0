"""Rendering against transformers' own assistant mask, over chat templates as real models have them.

The templates with markers around what the assistant says are those that TRL ships for training, and three written
here in the style of models it has none for.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, pre_tokenizers

from data.conversation import Conversation, Message, PlainText
from data.errors import DataError
from engine.training.rendering import IGNORED, Rendered, Renderer

ROW = Conversation(
    (
        Message("user", "show me 24 environments"),
        Message("assistant", "COMMAND: venvy ls"),
        Message("user", "and the  old ones?"),
        Message("assistant", "venvy ls --old\n\nThat is all."),
        Message("user", "thanks"),
        Message("assistant", "You are welcome."),
    ),
    5,
)
ANSWERS = [message.content for message in ROW.messages if message.role == "assistant"]

OWN = {
    "chatml": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}"
        "{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}{% else %}{{ m.content + '<|im_end|>\n' }}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "mistral": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
        "{% else %}{% generation %}{{ ' ' + m.content + eos_token }}{% endgeneration %}{% endif %}{% endfor %}"
    ),
    "zephyr": (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|assistant|>\n' }}{% generation %}"
        "{{ m.content + eos_token }}{% endgeneration %}{{ '\n' }}{% else %}"
        "{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    ),
}
LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""Llama 3's own cut into words: the two line breaks before an answer stand apart from whatever follows."""
SHIPPED = ("llama3", "gemma3", "phi3", "qwen2_5", "qwen3")
CONTROLS = {
    "llama3": ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"),
    "gemma3": ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
    "phi3": ("<s>", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"),
    "mistral": ("<s>", "</s>"),
    "zephyr": ("<s>", "</s>"),
}
"""Start and end of a text, then the others; the tiny tokenizer has those of ChatML already."""


def shipped(name: str) -> str:
    return (files("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tokenizers(tiny_models: Any) -> Any:
    """Name of a template -> a tokenizer with it and its control tokens."""
    made: dict[str, Any] = {}

    def tokenizer_of(name: str) -> Any:
        if name not in made:
            tokenizer = tiny_models.tiny_tokenizer("chatml")
            family = name.removesuffix("_training")
            if own := CONTROLS.get(family):
                tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in own], True)
                tokenizer.bos_token, tokenizer.eos_token = own[:2]
            if family == "llama3":
                tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                    [
                        pre_tokenizers.Split(Regex(LLAMA3_WORDS), "isolated"),
                        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                    ]
                )
            tokenizer.chat_template = OWN.get(name) or shipped(name)
            made[name] = tokenizer
        return made[name]

    return tokenizer_of


WITH_MARKERS = [*OWN, *(f"{name}_training" for name in SHIPPED)]


def trained_texts(row: Rendered, tokenizer: Any) -> list[str]:
    """The text of every run of trained tokens."""
    runs: list[list[int]] = [[]]
    for label in row.labels:
        if label != IGNORED:
            runs[-1].append(label)
        elif runs[-1]:
            runs.append([])
    return [tokenizer.decode(run) for run in runs if run]


@pytest.mark.parametrize("name", WITH_MARKERS)
def test_the_mask_is_upstreams_less_what_is_asked_with_and_what_follows_the_end_of_the_turn(
    name: str, tokenizers: Any
) -> None:
    tokenizer = tokenizers(name)
    row = Renderer(tokenizer, "chat", completion_only_loss=True).render(ROW)
    turns = [message.to_json() for message in ROW.messages]
    theirs = tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
    assert row.input_ids == theirs["input_ids"]
    ours = [label != IGNORED for label in row.labels]
    differing = [
        place
        for place, (mine, upstream) in enumerate(zip(ours, theirs["assistant_masks"], strict=True))
        if mine != bool(upstream)
    ]
    # Line breaks only: after the end of a turn, where the model generates nothing more, or before the answer,
    # where Qwen2.5's marker stands too early.
    assert not any(ours[place] for place in differing), "nothing is trained that upstream does not train"
    assert {tokenizer.decode([row.input_ids[place]]) for place in differing} <= {"\n"}
    assert row.stop_token_trained


@pytest.mark.parametrize("name", [*WITH_MARKERS, "llama3", "gemma3", "phi3", "qwen2_5"])
def test_every_answer_or_the_last_one_is_found(name: str, tokenizers: Any) -> None:
    tokenizer = tokenizers(name)
    every = Renderer(tokenizer, "chat", completion_only_loss=True).render(ROW)
    last = Renderer(tokenizer, "chat", completion_only_loss=True, trained_answers="last").render(ROW)
    found = trained_texts(every, tokenizer)
    assert len(found) == len(ANSWERS)
    assert all(answer in text for answer, text in zip(ANSWERS, found, strict=True))
    assert trained_texts(last, tokenizer) == found[-1:]
    assert last.input_ids == every.input_ids


def test_where_earlier_turns_lose_their_thoughts_the_last_answer_can_be_trained(tokenizers: Any) -> None:
    tokenizer = tokenizers("qwen3")
    with pytest.raises(DataError, match="rewrites earlier turns") as caught:
        Renderer(tokenizer, "chat", completion_only_loss=True).render(ROW)
    assert 'data.trained_answers = "last"' in caught.value.remedy
    row = Renderer(tokenizer, "chat", completion_only_loss=True, trained_answers="last").render(ROW)
    assert trained_texts(row, tokenizer) == [f"<think>\n\n</think>\n\n{ANSWERS[-1]}<|im_end|>"]


def test_a_prompt_that_does_not_begin_its_row_is_refused_with_a_way_out(tiny_models: Any) -> None:
    tokenizer = tiny_models.tiny_tokenizer("chatml")
    tokenizer.chat_template = OWN["chatml"].replace("'<|im_start|>assistant\n' }}", "'<|im_start|>think\n' }}")
    for which in ("every", "last"):
        with pytest.raises(DataError, match="Row 5: the chat template") as caught:
            Renderer(tokenizer, "chat", completion_only_loss=True, trained_answers=which).render(ROW)
        assert "plain" in caught.value.remedy


TEXTS = st.lists(st.text(min_size=1) | st.sampled_from(["\n", " ", "<|im_end|>", "</s>", "\ue000"]), min_size=1).map(
    "".join
)


@settings(max_examples=30)
@given(texts=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3), name=st.sampled_from(WITH_MARKERS))
def test_rows_tokenized_at_once_and_cut_at_control_tokens_are_what_the_long_way_makes(
    texts: list[tuple[str, str]], name: str, tokenizers: Any
) -> None:
    tokenizer = tokenizers(name)
    turns = tuple(m for asked, said in texts for m in (Message("user", asked), Message("assistant", said)))
    rows = [Conversation(turns, 1), PlainText(texts[0][0], 2), ROW]
    for rendering in ("chat", "plain"):
        renderer = Renderer(tokenizer, rendering, completion_only_loss=True)
        long_way = LongWay(tokenizer, rendering, completion_only_loss=True)
        found = list(renderer.render_all(rows))
        for row, each in zip(rows, found, strict=True):
            if isinstance(each, DataError):
                with pytest.raises(DataError) as refused:
                    long_way.render(row)
                assert each.happened == refused.value.happened
            else:
                assert each == long_way.render(row)


class LongWay(Renderer):
    """Tokenizes every beginning of a row anew."""

    def _control_spans(self, *_: Any) -> list[tuple[int, int, int]]:
        return []
