"""The tokenizer of a local model folder, safe to pad with, and the error for what transformers cannot load.

Apart from `model_loading` because the classes of models take seconds to import, and whoever only counts tokens needs
none of them. Nothing here touches the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from transformers import AutoTokenizer

from engine.errors import ModelError
from engine.model_folder import read_config
from engine.training.out_of_memory import out_of_memory

# Tokens that end an answer. Padding with one of them hides the end from the loss.
_END_TOKENS = ("<|im_end|>", "<end_of_turn>", "<|eot_id|>", "<|end|>", "<|eom_id|>", "</s>", "<eos>")
# Tokens that can pad, best first. Only those already in the vocabulary count: no embedding row is added.
_PAD_CANDIDATES = (
    "<pad>",
    "[PAD]",
    "<|pad|>",
    "<|finetune_right_pad_id|>",
    "<|fim_pad|>",
    "<|vision_pad|>",
    "<|endoftext|>",
)
# Above this, model_max_length is transformers' way to say "not stated".
_LONGEST_BELIEVABLE = 10**9


class PadChoice(NamedTuple):
    """The padding token, and whether it also ends answers because the vocabulary has no other."""

    token: str
    ends_answers: bool


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The folder's fast tokenizer, with a safe padding token and a maximum length. Raises ModelError.

    The padding token is never an end-of-turn token where the vocabulary offers another; a vocabulary that
    offers none keeps its end token (`pad_choice` tells). No token and no embedding row is ever added.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
    except Exception as error:  # the tokenizers library raises bare Exception for a broken file
        raise unloadable(folder, "tokenizer", error, trust_remote_code) from error
    if len(tokenizer) == 0:
        raise ModelError(
            f"The tokenizer in {folder} has an empty vocabulary.",
            means="tokenizer.json is missing or does not belong to this model.",
            remedy="Put the model's own tokenizer.json into the folder.",
        )
    set_pad_token(tokenizer)
    limit_length(tokenizer, read_config(folder))
    return tokenizer


def pad_choice(tokenizer: Any) -> PadChoice:
    """The best padding token of a tokenizer's vocabulary. Raises ModelError when it has no token to offer."""
    vocabulary = tokenizer.get_vocab()
    ends = {tokenizer.eos_token, *_END_TOKENS}
    named = (tokenizer.pad_token, *_PAD_CANDIDATES, tokenizer.unk_token)
    for token in named:
        if token is not None and token in vocabulary and token not in ends:
            return PadChoice(token, ends_answers=False)
    for token in (tokenizer.pad_token, tokenizer.eos_token):
        if token is not None and token in vocabulary:
            return PadChoice(token, ends_answers=True)
    raise ModelError(
        "The tokenizer has no padding token and no end-of-text token.",
        means="Rows of unequal length cannot be batched, and the model cannot learn where an answer ends.",
        remedy="Use the model's own tokenizer files, with tokenizer_config.json.",
    )


def set_pad_token(tokenizer: Any) -> PadChoice:
    """Give `tokenizer` the token of `pad_choice`, in place. Its vocabulary keeps its size."""
    choice = pad_choice(tokenizer)
    if tokenizer.pad_token != choice.token:
        before = len(tokenizer)
        tokenizer.pad_token = choice.token
        assert len(tokenizer) == before
    return choice


def limit_length(tokenizer: Any, config: Mapping[str, Any]) -> None:
    """Take `model_max_length`, in tokens, from the model's configuration where the tokenizer states none."""
    if tokenizer.model_max_length > _LONGEST_BELIEVABLE:
        text = config.get("text_config", config)
        positions = text.get("max_position_embeddings") if isinstance(text, Mapping) else None
        if isinstance(positions, int) and positions > 0:
            tokenizer.model_max_length = positions


def unloadable(folder: Path, what: str, error: Exception, trust_remote_code: bool = False) -> ModelError:
    """The ModelError for a `what` ("model", "tokenizer") that transformers refused.

    Raises MemoryError instead when the cause is a lack of memory: that is for the ladder.
    """
    if lacking := out_of_memory(error):
        raise MemoryError(lacking.message) from error
    if "trust_remote_code" in str(error) and not trust_remote_code:
        return ModelError(
            f"The {what} in {folder} needs Python code that came with it.",
            means="Such code can do anything your account can; finetui runs none unless the recipe says so.",
            remedy="Read the .py files in that folder. If you trust them, set model.trust_remote_code = true.",
        )
    return ModelError(
        f"The {what} in {folder} cannot be loaded: {type(error).__name__}: {first_line(error)}",
        means="A file is damaged, does not fit the others, or is of a kind this transformers does not know.",
        remedy="Fetch or copy the model again; if it is new, check that this version of transformers knows it.",
    )


def first_line(error: Exception) -> str:
    """The first line of an error's text that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:300]
