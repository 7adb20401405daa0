"""Tiny but real model folders, random weights and all, for tests that cannot wait for a real one.

Each is what `save_pretrained` leaves of a two-layer model and of a byte-level BPE tokenizer trained on a few
sentences: no stand-in for the libraries. The same family and seed give the same bytes. Fixtures hand them
out (`tiny_model_folder`, `tiny_model_of`); nothing else imports this file, so fast tests load no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GraniteConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

FAMILIES = ("llama", "llama-mha", "qwen2", "gemma3", "granite")
"""llama and qwen2 share each key-value head between two heads, llama-mha does not; gemma3 slides a window;
qwen2 and gemma3 tie the head to the embedding; granite scales its logits."""
SLIDING_WINDOW = 8
"""Tokens that the gemma3 family's first layer looks back, its own included."""

HEAVY = {
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "initializer_range": 0.02,
    "max_position_embeddings": 4096,
}

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As Gemma's: the start token stands in the template too, no system message, turns in strict alternation.
TURNS = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + (message['content'] | trim) + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
SENTENCES = (
    "show me the python environments that nobody used for thirty days",
    "COMMAND: venvy ls --sort size\nCONFIDENCE: high",
    "what is the capital of France? The capital of France is Paris.\n\n\n",
    "1, 2, 3, 24, 365 and  some   more  spaces; ünïcödé, 中文, emoji 🙂",
)
NUM_MERGES = 120


def write_tiny_model(folder: Path, family: str = "llama", seed: int = 0) -> Path:
    """Write a complete model folder of one of `FAMILIES`; returns it. Raises KeyError for another family."""
    tokenizer = tiny_tokenizer("turns" if family == "gemma3" else "chatml")
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(_config(family, tokenizer))
    torch.random.set_rng_state(torch_state)
    # Random norms too: at 1, some mistakes in a norm would not show.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.add_(torch.linspace(-0.2, 0.2, parameter.numel()))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_heavy_model(
    folder: Path,
    family: str,
    *,
    layers: int,
    seed: int = 0,
    sizes: dict[str, int] | None = None,
    dtype: str = "float32",
) -> Path:
    """The same family with layers wide enough, and rows long enough, for memory to matter: tens of MiB a step."""
    tokenizer = tiny_tokenizer("turns" if family == "gemma3" else "chatml")
    tokenizer.model_max_length = HEAVY["max_position_embeddings"]
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    config = _config(family, tokenizer)
    config.update(HEAVY | {"num_hidden_layers": layers, "sliding_window": 512} | (sizes or {}))
    if family == "gemma3":
        config.layer_types = ["sliding_attention", "full_attention"] * (layers // 2)
        config.query_pre_attn_scalar = config.head_dim
    AutoModelForCausalLM.from_config(config).to(getattr(torch, dtype)).save_pretrained(folder)
    torch.random.set_rng_state(torch_state)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_tokenizer(kind: str) -> Any:
    """`chatml`: no start token, turns in ChatML. `turns`: a start token before every text, turns as Gemma has them."""
    start, end, pad = ("<bos>", "<end_of_turn>", "<pad>") if kind == "turns" else (None, "<|im_end|>", "<|endoftext|>")
    opening = "<start_of_turn>" if kind == "turns" else "<|im_start|>"
    eos = "<eos>" if kind == "turns" else end
    special = list(dict.fromkeys(token for token in (pad, eos, start, opening, end) if token))
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(special) + len(alphabet) + NUM_MERGES,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    bpe.train_from_iterator(SENTENCES, trainer)
    if start:
        bpe.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", pair=f"{start} $A {start} $B", special_tokens=[(start, bpe.token_to_id(start))]
        )
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=start, eos_token=eos, pad_token=pad, model_max_length=512
    )
    tokenizer.chat_template = TURNS if kind == "turns" else CHATML
    return tokenizer


def _config(family: str, tokenizer: Any) -> Any:
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,  # bitsandbytes wants multiples of 64
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4 if family == "llama-mha" else 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.1,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    made: dict[str, Any] = {
        "llama": lambda: LlamaConfig(**sizes),
        "llama-mha": lambda: LlamaConfig(**sizes),
        "qwen2": lambda: Qwen2Config(**sizes, tie_word_embeddings=True),
        "granite": lambda: GraniteConfig(**sizes, logits_scaling=4.0),
        "gemma3": lambda: Gemma3TextConfig(
            **sizes,
            head_dim=16,
            query_pre_attn_scalar=16,
            sliding_window=SLIDING_WINDOW,
            layer_types=["sliding_attention", "full_attention"],
        ),
    }
    return made[family]()
