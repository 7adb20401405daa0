"""GGUF files in llama.cpp: the same tokens, logits, losses and greedy answers as torch gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import ModelError, OutOfMemoryError
from engine.evaluation import generation
from engine.evaluation.generation import Limits
from engine.gguf_runtime import binding
from engine.gguf_runtime.model import GgufModel

PROMPTS = [[7, 8, 9, 10, 40], [7, 8, 9, 11], [7, 8, 9, 12, 60, 61, 62], [7, 8, 9, 13]]


def limits(batch_size: int = 2, **changed: Any) -> Limits:
    settings: dict[str, Any] = {"stop_ids": frozenset({2}), "max_new_tokens": 12, "pad_id": 0} | changed
    return Limits(batch_size=batch_size, **settings)


def test_logits_and_losses_are_those_of_torch(tiny_gguf: Path, loaded: Callable[[], Any]) -> None:
    import torch

    ids = list(range(5, 45))
    labels = [-100] * 20 + ids[20:]
    with torch.inference_mode():
        output = loaded()(input_ids=torch.tensor([ids]), labels=torch.tensor([labels]))
    with GgufModel.open(tiny_gguf, n_threads=1) as model:
        found = model.logits(ids)
        some = model.logits(ids, [3, 39])
        losses = list(model.losses([(ids, labels), (ids, [-100] * 40)]))
    assert found.shape == tuple(output.logits.shape[1:])
    assert np.abs(found - output.logits[0].numpy()).max() < 0.02
    assert np.abs(some - found[[3, 39]]).max() < 1e-4
    assert losses[0] == (pytest.approx(float(output.loss), abs=2e-3), 20)
    assert losses[1] == (0.0, 0)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_answers_are_those_of_the_loop_in_torch(tiny_gguf: Path, loaded: Callable[[], Any], batch_size: int) -> None:
    wanted = dict(generation.generate(loaded(), PROMPTS, limits()))
    with GgufModel.open(tiny_gguf, n_threads=1) as model:
        assert dict(model.generate(PROMPTS, limits(batch_size))) == wanted


def test_a_row_ends_where_its_limits_say(tiny_gguf: Path) -> None:
    with GgufModel.open(tiny_gguf, n_threads=1) as model:
        (whole,) = dict(model.generate(PROMPTS[:1], limits())).values()
        stop = frozenset({whole[4]})
        (stopped,) = dict(model.generate(PROMPTS[:1], limits(stop_ids=stop))).values()
        (complete,) = dict(model.generate(PROMPTS[:1], limits(is_complete=lambda ids: len(ids) == 3))).values()
        assert list(model.stream(PROMPTS[0], limits(stop_ids=stop))) == stopped
    assert stopped == whole[: whole.index(whole[4])]
    assert complete == whole[:3]


def test_a_conversation_goes_on_without_reading_it_again(tiny_gguf: Path) -> None:
    with GgufModel.open(tiny_gguf, n_threads=1) as model:
        first = list(model.stream(PROMPTS[0], limits()))
        longer = [*PROMPTS[0], *first, 30, 31]
        second = list(model.stream(longer, limits()))
        other = list(model.stream(PROMPTS[2], limits()))
        assert dict(model.generate([longer, PROMPTS[2]], limits())) == {0: second, 1: other}


def test_a_conversation_that_was_left_in_the_middle_of_an_answer_goes_on(tiny_gguf: Path) -> None:
    with GgufModel.open(tiny_gguf, n_threads=1) as model:
        coming = model.stream(PROMPTS[0], limits())
        next(coming), next(coming)
        coming.close()
        again = list(model.stream(PROMPTS[0], limits()))
        assert dict(model.generate(PROMPTS[:1], limits())) == {0: again}


def test_text_becomes_tokens_and_text_again(tiny_gguf: Path) -> None:
    text = "<|im_start|>user\nünïcödé 中文 🙂\x00 end<|im_end|>"
    with GgufModel.open(tiny_gguf, vocabulary_only=True) as model:
        ids = model.tokenize(text)
        assert model.text(ids, special=True) == text
        assert "<|im_end|>" not in model.text(ids)
        assert len(model.tokenize(text, special=False)) > len(ids)
        assert ids[-1] in model.end_ids
        assert "im_start" in (model.chat_template or "")
        with pytest.raises(ValueError, match="vocabulary only"):
            model.logits(ids)


def test_a_file_that_cannot_be_loaded_is_named_with_llama_cpps_own_reason(tiny_gguf: Path, tmp_path: Path) -> None:
    raw = tiny_gguf.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(raw[: len(raw) // 2])
    (tmp_path / "none.gguf").write_bytes(b"no model")
    (tmp_path / "strange.gguf").write_bytes(raw.replace(b"llama", b"lalma"))
    for name, words in (
        ("cut", "ends before"),
        ("none", "does not begin with GGUF"),
        ("strange", "unknown model arch"),
    ):
        with pytest.raises(ModelError, match=words):
            GgufModel.open(tmp_path / f"{name}.gguf")


def test_tokens_that_do_not_fit_are_an_error_of_ours(tiny_gguf: Path) -> None:
    with GgufModel.open(tiny_gguf, n_ctx=8, n_threads=1) as model:
        with pytest.raises(ModelError, match="do not fit a context of 8"):
            list(model.generate([[5] * 8], limits()))
        with pytest.raises(ModelError, match="not in the vocabulary"):
            model.logits([10**6])
        with pytest.raises(ValueError, match="without a token"):
            list(model.generate([[]], limits()))
        assert len(next(iter(dict(model.generate([[5] * 5], limits(stop_ids=frozenset()))).values()))) == 3
    with (
        GgufModel.open(tiny_gguf, n_threads=1) as model,
        pytest.raises(OutOfMemoryError, match="not enough memory"),
    ):
        list(model.generate([[5]], limits(max_new_tokens=2**33)))


def test_llama_cpp_writes_nothing_to_the_terminal(tiny_gguf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with GgufModel.open(tiny_gguf, n_threads=1) as model:
        model.logits([5, 6])
    assert capfd.readouterr() == ("", "")
    assert "llama" in binding.log()
