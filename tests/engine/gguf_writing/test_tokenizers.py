"""Tokenizers of several makes, written as GGUF vocabularies: llama.cpp's tokens are theirs, or nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from engine.errors import ModelError
from engine.gguf_writing import write_gguf
from engine.gguf_writing.vocabulary import vocabulary_of
from tests.engine.gguf_writing.conftest import write_variant

QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|")
DIGITS = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
)


def _split(pattern: str) -> Any:
    by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), by_bytes])


@pytest.fixture
def tokenizer(tiny_models: Any) -> Any:
    """A tiny tokenizer with merges across digits, letters and spaces, so that cuts show."""
    made = tiny_models.tiny_tokenizer("chatml")
    specification = json.loads(made.backend_tokenizer.to_str())
    vocabulary, merges = specification["model"]["vocab"], specification["model"]["merges"]
    for first, second in (("1", "2"), ("12", "3"), ("Ġ", "1"), ("3", "3"), ("33", "33"), ("7", "\u010a"), ("'", "s")):
        if first + second not in vocabulary:
            vocabulary[first + second] = len(vocabulary)
            merges.append([first, second])
    made._tokenizer = Tokenizer.from_str(json.dumps(specification))
    return made


@pytest.mark.parametrize(
    ("cut", "name"), [(DIGITS, "smollm"), (_split(QWEN2), "qwen2"), (_split(LLAMA3), "smaug-bpe"), (None, "gpt-2")]
)
def test_the_name_of_the_cut_is_the_one_that_llama_cpp_agrees_with(
    cut: Any, name: str, tokenizer: Any, tmp_path: Path
) -> None:
    if cut is not None:
        tokenizer.backend_tokenizer.pre_tokenizer = cut
    folder = write_variant(tmp_path / "model", "llama-tied", tokenizer)
    written = write_gguf(folder, tmp_path / "a.gguf", name="tiny", probe_rows=["venvy ls --older-than 1234 12 1"])
    assert written.pre_tokenizer == name


def test_a_tokenizer_that_llama_cpp_cannot_follow_is_refused_with_the_text_that_shows_it(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.gguf_writing import probing

    monkeypatch.setattr(probing, "BYTE_LEVEL", probing.BYTE_LEVEL[:6])
    tokenizer.backend_tokenizer.pre_tokenizer = _split(r"[aeiou]+|[^aeiou]+")
    folder = write_variant(tmp_path / "model", "llama-tied", tokenizer)
    with pytest.raises(ModelError, match=r"texts differ with the best of its ways \(.*\), first '") as caught:
        write_gguf(folder, tmp_path / "a.gguf", name="tiny")
    assert "worse than the model does" in caught.value.means
    assert not (tmp_path / "a.gguf").exists()


def test_texts_that_a_tokenizer_rewrites_first_are_said_and_not_held_against_the_cut(
    tokenizer: Any, tmp_path: Path
) -> None:
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    folder = write_variant(tmp_path / "model", "llama-tied", tokenizer)
    assert "NFC" in write_gguf(folder, tmp_path / "a.gguf", name="tiny").notes[0]


@pytest.fixture
def sentencepiece() -> Callable[..., Any]:
    """A BPE tokenizer with byte fallback, as SentencePiece's are in tokenizer.json. `space`: one before each text."""

    def made(*, space: bool) -> Any:
        from transformers import PreTrainedTokenizerFast

        pieces = ["▁", *"abcdefghijklmnopqrstuvwxyz0123456789.,:-", "th", "the", "▁the", "▁t", "in", "▁in", "he", "▁▁"]
        tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
        merges = [("t", "h"), ("i", "n"), ("h", "e"), ("th", "e"), ("▁", "the"), ("▁", "t"), ("▁", "in"), ("▁", "▁")]
        vocabulary = {token: place for place, token in enumerate(tokens)}
        bpe = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        steps: list[Any] = [normalizers.Prepend("▁")] if space else []
        bpe.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
        bpe.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        return PreTrainedTokenizerFast(
            tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", unk_token="<unk>", model_max_length=512
        )

    return made


@pytest.mark.parametrize("space", [True, False])
def test_pieces_with_byte_fallback_become_a_sentencepiece_vocabulary(
    space: bool, sentencepiece: Callable[..., Any], tmp_path: Path
) -> None:
    from engine.gguf_runtime.model import GgufModel

    tokenizer = sentencepiece(space=space)
    folder = write_variant(tmp_path / "model", "llama-tied", tokenizer)
    written = write_gguf(folder, tmp_path / "a.gguf", name="tiny")
    text = "the thing in  the 中文 42"
    with GgufModel.open(written.path, vocabulary_only=True) as model:
        assert model.tokenize(text) == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_a_unigram_tokenizer_is_refused(tokenizer: Any) -> None:
    tokenizer._tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0))
    with pytest.raises(ModelError, match="Unigram"):
        vocabulary_of(tokenizer, 100)
