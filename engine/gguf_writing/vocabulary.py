"""A transformers tokenizer as GGUF metadata: tokens, kinds, merges or scores, special tokens.

Two kinds are written: byte-level BPE ("gpt2" in GGUF) and BPE with byte fallback, as SentencePiece has it ("llama").
How text is cut before merges is a name that only llama.cpp can confirm: `probing`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import ModelError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""gguf.TokenType."""
ADDED_SCORE, UNUSED_SCORE = -1000.0, -10000.0
SPACE = "\u2581"
"""What SentencePiece writes for a space."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`kind` is gpt2 or llama; `ids` are special tokens by the name they have in GGUF's keys (bos, eos, eot, pad, unk).

    `specification` is tokenizer.json's content, for what is guessed from it and then tried.
    """

    kind: str
    tokens: list[str]
    types: list[int]
    scores: list[float] | None
    merges: list[str] | None
    ids: Mapping[str, int]
    add_bos: bool
    add_eos: bool
    chat_template: str | None
    specification: Mapping[str, Any] = field(repr=False)

    def put(self, writer: Any) -> None:
        """Add it to a GGUFWriter, all but the name of its cut."""
        writer.add_tokenizer_model(self.kind)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.scores is not None:
            writer.add_token_scores(self.scores)
        if self.merges is not None:
            writer.add_token_merges(self.merges)
        for name, token in self.ids.items():
            getattr(writer, f"add_{name}_token_id")(token)
        writer.add_add_bos_token(self.add_bos)
        writer.add_add_eos_token(self.add_eos)
        if self.chat_template:
            writer.add_chat_template(self.chat_template)


def vocabulary_of(tokenizer: Any, num_rows: int) -> Vocabulary:
    """The vocabulary of a transformers fast tokenizer, padded to the `num_rows` rows of the embedding.

    Raises ModelError for a kind of tokenizer that is not written, and for more tokens than rows.
    """
    specification = json.loads(tokenizer.backend_tokenizer.to_str())
    model = specification["model"]
    if model["type"] != "BPE":
        raise ModelError(
            f"The model's tokenizer is of the kind {model['type']}, which is not written into GGUF files.",
            means="Known are byte-level BPE (Llama 3, Qwen, SmolLM2) and BPE with byte fallback (Llama 2, Gemma).",
            remedy="Export the merged model instead: `finetui export RUN --to merged`.",
        )
    is_sentencepiece = bool(model.get("byte_fallback"))
    tokens, types = _tokens(specification, num_rows, is_sentencepiece)
    start, end = _around(tokenizer)
    return Vocabulary(
        kind="llama" if is_sentencepiece else "gpt2",
        tokens=tokens,
        types=types,
        scores=_scores(model, tokens, types) if is_sentencepiece else None,
        merges=None if is_sentencepiece else [_merge(pair) for pair in model["merges"]],
        ids=_special_ids(tokenizer),
        add_bos=start,
        add_eos=end,
        chat_template=chat_template_of(tokenizer),
        specification=specification,
    )


def chat_template_of(tokenizer: Any) -> str | None:
    """The template that training rendered with; of several, the one named default."""
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    return template or None


def _tokens(specification: Mapping[str, Any], num_rows: int, is_sentencepiece: bool) -> tuple[list[str], list[int]]:
    added = {entry["id"]: entry for entry in specification["added_tokens"]}
    by_id = {place: text for text, place in specification["model"]["vocab"].items()}
    by_id |= {place: entry["content"] for place, entry in added.items()}
    if by_id and max(by_id) >= num_rows:
        raise ModelError(
            f"The tokenizer has {max(by_id) + 1:,} tokens, the model's embedding {num_rows:,} rows.",
            means="A token without a row would read memory that is not its own.",
            remedy="Use the tokenizer that came with the model.",
        )
    unknown = specification["model"].get("unk_token")
    tokens, types = [], []
    for place in range(num_rows):
        text = by_id.get(place, f"[PAD{place}]")
        kind = NORMAL if place in by_id else UNUSED
        if is_sentencepiece and text == unknown:
            kind = UNKNOWN
        elif place in added:
            kind = CONTROL if _is_control(added[place]) else USER_DEFINED
            text = text.replace(SPACE, " ") if kind == USER_DEFINED else text
        elif is_sentencepiece and len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            kind = BYTE
        tokens.append(text)
        types.append(kind)
    return tokens, types


def _is_control(entry: Mapping[str, Any]) -> bool:
    """As llama.cpp's converter decides: some models do not mark what never stands in a text."""
    text = entry["content"]
    looks = (text.startswith("<|") and text.endswith("|>")) or (text.startswith("<unused") and text.endswith(">"))
    return bool(entry["special"]) or looks or text in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")


def _scores(model: Mapping[str, Any], tokens: list[str], types: list[int]) -> list[float]:
    """SentencePiece joins the pair whose result scores highest; the earliest merge that makes a piece is its rank."""
    rank: dict[str, int] = {}
    for place, pair in enumerate(model["merges"]):
        first, second = pair.split(" ", 1) if isinstance(pair, str) else pair
        rank.setdefault(first + second, place)
    special = {CONTROL: ADDED_SCORE, USER_DEFINED: ADDED_SCORE, UNUSED: UNUSED_SCORE, UNKNOWN: 0.0, BYTE: 0.0}
    last = len(model["merges"])
    return [
        special[kind] if kind in special else -float(rank.get(text, last))
        for text, kind in zip(tokens, types, strict=True)
    ]


def _merge(pair: Any) -> str:
    """One line of merges; a space inside a part is written as byte-level BPE writes it."""
    if isinstance(pair, str):
        return pair
    first, second = (part.replace(" ", "\u0120") for part in pair)
    return f"{first} {second}"


def _special_ids(tokenizer: Any) -> dict[str, int]:
    """Special tokens by GGUF's names. The token that ends a turn is eot where it is not the end of the text."""
    named = {
        "bos": tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id,
        "unk": tokenizer.unk_token_id,
        "pad": tokenizer.pad_token_id,
    }
    found = {name: int(token) for name, token in named.items() if token is not None}
    ends = [token for token in end_ids(tokenizer) if token != found.get("eos")]
    return found | ({"eot": ends[0]} if ends else {})


def end_ids(tokenizer: Any) -> list[int]:
    """Tokens that end an answer, as training taught them."""
    from data.errors import DataError
    from engine.training.rendering import Renderer, rendering_for

    try:
        return Renderer(tokenizer, rendering_for("auto", tokenizer), completion_only_loss=True).stop_ids()
    except DataError:  # a template that cannot be rendered is reported where it is needed
        return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]


def _around(tokenizer: Any) -> tuple[bool, bool]:
    """Whether the tokenizer puts a start token before a text, and an end token behind it."""
    ids = tokenizer("a")["input_ids"]
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    if len(ids) == len(bare):
        return False, False
    return ids[0] == tokenizer.bos_token_id, ids[-1] == tokenizer.eos_token_id
