"""Tokens of a chat template standing in the text itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.findings import Level
from data.looking import Setup, Text, TextLooking

TITLE = "Tokens of a chat template in the text"
LEVEL: Level = "warning"
MEANS = "The template adds its own, so turns are marked twice, or end in the middle of an answer."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "[INST] Say hello. [/INST]", "completion": "hello</s>"},)

# Of ChatML, Llama 2 and 3, Gemma, Mistral, Phi, Zephyr and the Alpaca prompt.
_SIGNS = ("<|", "<<SYS>>", "<</SYS>>", "</s>", "_of_turn>", "<bos>", "<eos>")
_OTHER_SIGNS = ("INST]", "### Instruction:", "### Response:")
_TOKENS = re.compile(
    r"<\|(?:im_start|im_end|im_sep|endoftext|begin_of_text|end_of_text|start_header_id|end_header_id|eot_id|eom_id|"
    r"system|user|assistant|end|pad)\|>|\[/?INST\]|<</?SYS>>|</s>|<(?:start|end)_of_turn>|<(?:bos|eos)>|"
    r"^### (?:Instruction|Response):",
    re.MULTILINE,
)


def start(_: Setup) -> TextLooking:
    """The check, ready for the first rows."""
    return TextLooking(_is_suspect, _kinds)


def _is_suspect(text: Text) -> bool:
    return ("<" in text.text and text.holds_any(_SIGNS)) or text.holds_any(_OTHER_SIGNS)


def _kinds(text: str) -> Iterator[str]:
    return (match[0] for match in _TOKENS.finditer(text))
