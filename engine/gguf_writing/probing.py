"""Which of llama.cpp's names for a cut makes it tokenize as the model's own tokenizer does: tried, not guessed.

Each candidate is loaded by llama.cpp from a file that holds the vocabulary only, and compared on many texts; the
first without a difference is taken. Not here: the texts (`probes`), the vocabulary (`vocabulary`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.conversation import Message
from engine.chat_markup.bounded_rendering import RefusedByTemplateError, rendered
from engine.errors import ModelError
from engine.gguf_writing.probes import PLAIN_PROBES
from engine.gguf_writing.vocabulary import SPACE, Vocabulary

PRE_KEY = b"tokenizer.ggml.pre"
PREFIX_KEY = b"tokenizer.ggml.add_space_prefix"
_STRING, _BOOL = 8, 7
BYTE_LEVEL = (
    "llama-bpe", "smaug-bpe", "qwen2", "qwen35", "smollm", "gpt-2", "tekken", "gpt-4o", "olmo", "dbrx", "falcon3",
    "stablelm2", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mpt", "deepseek-llm", "deepseek-coder",
    "deepseek-v3", "falcon", "command-r", "chatglm-bpe", "glm4", "viking", "jais", "bloom", "gpt3-finnish", "poro-chat",
    "exaone4", "chameleon", "megrez", "superbpe", "trillion", "bailingmoe", "seed-coder", "hunyuan", "hunyuan-dense",
    "kimi-k2", "grok-2", "afmoe", "minimax-m2", "solar-open", "roberta-bpe", "default",
)  # fmt: skip
"""The names of llama.cpp's `llama-vocab.cpp` for byte-level BPE; those of this program's families come first."""
SAMPLED_TOKENS = 1500
"""Tokens of the vocabulary that are probes themselves, spread evenly: they show a token that merges do not reach."""
TURNS = (
    Message("user", "Hello, list 7 files  of /tmp!"),
    Message("assistant", "COMMAND: ls /tmp\nDone."),
    Message("user", " And 42 more?"),
)


@dataclass(frozen=True, slots=True)
class Cut:
    """What `tokenizer.ggml.pre` says, and for SentencePiece whether a space is put before a text."""

    pre: str
    space_prefix: bool | None = None

    def __str__(self) -> str:
        if self.space_prefix is None:
            return self.pre
        return f"{self.pre}, {'with' if self.space_prefix else 'without'} a space before the text"

    def put(self, writer: Any) -> None:
        """Add it to a GGUFWriter."""
        writer.add_tokenizer_pre(self.pre)
        if self.space_prefix is not None:
            writer.add_add_space_prefix(self.space_prefix)

    def packed(self) -> bytes:
        """The same as bytes of a GGUF file, of two values where there is a prefix and of one where not."""
        made = _key(PRE_KEY) + struct.pack("<I", _STRING) + _key(self.pre.encode())
        if self.space_prefix is not None:
            made += _key(PREFIX_KEY) + struct.pack("<I?", _BOOL, self.space_prefix)
        return made


@dataclass(frozen=True, slots=True)
class Probe:
    """A text and the ids that training sees for it; `special` where its control tokens count as such."""

    text: str
    ids: list[int]
    special: bool


@dataclass(frozen=True, slots=True)
class Probes:
    """`normalized` are texts that the tokenizer rewrites before it cuts them, which llama.cpp never does for BPE."""

    compared: list[Probe]
    normalized: list[str]


def candidates(vocabulary: Vocabulary) -> list[Cut]:
    """Every cut that may be the tokenizer's, the likeliest first."""
    specification = json.dumps([vocabulary.specification.get(key) for key in ("pre_tokenizer", "normalizer")])
    if vocabulary.kind == "llama":
        prefixed = "Prepend" in specification or '"always"' in specification or '"first"' in specification
        return [Cut("default", prefixed), Cut("default", not prefixed)]
    if '"Digits"' in specification:
        first = ["smollm"]
    elif "p{N}{1,3}" in specification:
        ignores = vocabulary.specification["model"].get("ignore_merges")
        first = ["llama-bpe"] if ignores else ["smaug-bpe"]
    elif "p{Lu}" in specification:
        first = ["tekken", "gpt-4o"]
    elif "p{N}|" in specification:
        first = ["qwen2"]
    else:
        first = ["gpt-2"]
    return [Cut(name) for name in (*first, *(each for each in BYTE_LEVEL if each not in first))]


def probes_of(tokenizer: Any, tokens: Sequence[str], rows: Sequence[str] = ()) -> Probes:
    """What is compared: `PLAIN_PROBES`, a sample of the vocabulary, `rows`, a conversation where there are turns."""
    controls = _controls(tokenizer)
    step = max(1, len(tokens) // SAMPLED_TOKENS)
    sampled = [tokenizer.decode([place]) for place in range(0, len(tokenizer), step)]
    plain = [text for text in (*PLAIN_PROBES, *rows, *sampled) if text and "\ufffd" not in text]
    texts = [text for text in dict.fromkeys(plain) if not any(control in text for control in controls)]
    normalizer = tokenizer.backend_tokenizer.normalizer
    rewritten: list[str] = []
    if normalizer is not None and not any(SPACE in token for token in tokens):
        rewritten = [text for text in texts if normalizer.normalize_str(text) != text]
        texts = [text for text in texts if text not in set(rewritten)]
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    made = [Probe(text, list(found), special=False) for text, found in zip(texts, ids, strict=True)]
    return Probes([*made, *_conversation(tokenizer)], rewritten)


def _controls(tokenizer: Any) -> list[str]:
    added = tokenizer.added_tokens_decoder.values()
    return [token.content for token in added if token.special or token.content.startswith("<")]


def _conversation(tokenizer: Any) -> Iterator[Probe]:
    """The prompt of a short conversation, tokenized as training does; nothing where the template cannot take it."""
    from data.errors import DataError
    from engine.training.rendering import Renderer

    if not tokenizer.chat_template:
        return
    turns = [{"role": turn.role, "content": turn.content} for turn in TURNS]
    try:
        ids = Renderer(tokenizer, "chat", completion_only_loss=True).prompt_ids(TURNS)
        text = rendered(tokenizer, turns, prompt=True)
    except (DataError, RefusedByTemplateError):
        return
    yield Probe(text, ids, special=True)


def choose_cut(vocabulary_file: Path, tried: Sequence[Cut], probes: Sequence[Probe]) -> Cut:
    """The first cut with which llama.cpp gives every probe the same ids.

    `vocabulary_file` is a GGUF file without tensors whose metadata ends with the first of `tried`; it is rewritten for
    each. Raises ModelError naming the first probe that differs when none will do.
    """
    content = vocabulary_file.read_bytes()
    end = tried[0].packed()
    if not content.endswith(end):
        raise ValueError(f"{vocabulary_file} does not end with {tried[0]}")
    best: tuple[int, Cut, Probe, list[int]] | None = None
    for cut in tried:
        vocabulary_file.write_bytes(content[: -len(end)] + cut.packed())
        different = list(differences(vocabulary_file, probes))
        if not different:
            return cut
        if best is None or len(different) < best[0]:
            best = (len(different), cut, *different[0])
    assert best is not None
    raise tokens_differ(*best, num_probes=len(probes))


def differences(gguf_file: Path, probes: Sequence[Probe]) -> Iterator[tuple[Probe, list[int]]]:
    """The probes that llama.cpp gives other ids, with those ids. Raises ModelError when it is not installed."""
    from engine.gguf_runtime.model import GgufModel

    with GgufModel.open(gguf_file, vocabulary_only=True) as model:
        for probe in probes:
            found = model.tokenize(probe.text, special=probe.special)
            if found != probe.ids:
                yield probe, found


def tokens_differ(number: int, cut: object, probe: Probe, found: list[int], *, num_probes: int) -> ModelError:
    """The error for a file that would be read with other tokens than the model was trained on."""
    return ModelError(
        f"llama.cpp cuts text into other tokens than the model's tokenizer: {number:,} of {num_probes:,} texts differ "
        f"with the best of its ways ({cut}), first {probe.text[:60]!r}: {found[:12]} instead of {probe.ids[:12]}.",
        means="The file would load and answer, but worse than the model does: it was trained on the other tokens.",
        remedy="Export the merged model instead, or tell finetui's authors which model this is.",
    )


def _key(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text
