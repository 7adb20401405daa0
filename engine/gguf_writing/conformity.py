"""Whether a GGUF file answers as the folder it was written from: the same tensors, tokens and logits.

The bound is on logits because an answer can agree by luck. Not here: agreement of whole answers on test rows
(`engine.exporters`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ModelError
from engine.gguf_header import read_gguf_header
from engine.gguf_metadata import read_gguf_metadata
from engine.gguf_writing.families import family_of, text_part
from engine.gguf_writing.probing import Probe, differences, tokens_differ
from engine.gguf_writing.tensors import FILE_TYPES, tensors_of
from engine.model_folder import read_config

if TYPE_CHECKING:
    import numpy as np

MAX_RELATIVE_DIFFERENCE = 0.1
"""Largest difference of a logit, in standard deviations of the logits at its place.

llama.cpp rounds what goes into a product with 16-bit weights to 16 bits too; the model compared with does the same,
which leaves the order of sums. On x86: F32 files 0.0001, F16 files up to 0.006, where the rounding itself moves logits
by up to 0.2 (a random adapter of a large scale). Wide of that, because ARM sums F16 products in F16. A wrong
permutation, norm or rotary base gives more than 1."""
MIN_AGREEMENT = 0.98
"""Share of places whose likeliest token is the same; a tie of two tokens may fall either way."""
STORED = {0: "F32", 1: "F16", 32: "BF16"}
"""What `general.file_type` says of a file whose matrices all have one type."""
MAX_TOKENS = 256
"""Tokens of a text that are compared."""


@dataclass(frozen=True, slots=True)
class Conformity:
    """`largest_difference` is a logit's; `relative_difference` the same in standard deviations of those beside it."""

    num_texts: int
    num_positions: int
    largest_difference: float
    relative_difference: float
    agreement: float
    tokens_equal: bool


def check_gguf(gguf: Path, folder: Path, texts: Sequence[str], *, trust_remote_code: bool = False) -> Conformity:
    """Compare a file with its folder on `texts` (whole rows as training saw them, control tokens included).

    The folder's model is loaded in float32: 4 bytes of memory per parameter beside the file. Raises ModelError for a
    tensor that lacks or has another shape or type, for other tokens, and for logits beyond the bounds above.
    """
    from engine.training.tokenizer_loading import load_tokenizer

    if not texts:
        raise ValueError("there is no text to compare on")
    _check_tensors(gguf, folder)
    tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    probes = [Probe(text, list(ids), special=True) for text, ids in zip(texts, rows, strict=True)]
    if different := list(differences(gguf, probes)):
        raise tokens_differ(len(different), "as written", *different[0], num_probes=len(probes))
    found = _compared(gguf, folder, tokenizer, [ids[:MAX_TOKENS] for ids in rows if ids], trust_remote_code)
    if not (found.relative_difference <= MAX_RELATIVE_DIFFERENCE and found.agreement >= MIN_AGREEMENT):
        raise ModelError(
            f"{gguf.name} does not compute what the model computes: its logits differ by up to "
            f"{found.largest_difference:.3g} ({found.relative_difference:.2f} of their spread), and the likeliest "
            f"token is the same at {found.agreement:.1%} of {found.num_positions:,} places.",
            means=f"At most {MAX_RELATIVE_DIFFERENCE} of the spread and at least {MIN_AGREEMENT:.0%} are allowed; the "
            "file would load, and answer worse.",
            remedy="Export the merged model instead, and tell finetui's authors which model this is.",
        )
    return found


def _check_tensors(gguf: Path, folder: Path) -> None:
    """Every tensor of the folder stands in the file, with its shape, and the header names the type that they have."""
    read_gguf_header(gguf)  # a broken file is named as such
    values, infos = read_gguf_metadata(gguf)
    config = read_config(folder)
    stated = STORED.get(int(values.get("general.file_type", -1)), "another type")
    kinds = {info.type_name for info in infos if len(info.shape) > 1}
    if stated not in FILE_TYPES or kinds != {stated}:
        raise _differs(gguf, f"its header says {stated}, its matrices are {', '.join(sorted(kinds))}")
    wanted = {tensor.name: tensor.shape for tensor in tensors_of(folder, family_of(config), text_part(config), stated)}
    found = {info.name: tuple(reversed(info.shape)) for info in infos}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise _differs(gguf, f"tensor {name} has the shape {found.get(name)} and should have {wanted.get(name)}")


def _differs(gguf: Path, how: str) -> ModelError:
    return ModelError(
        f"{gguf.name} is not the file that belongs to the model: {how}.",
        means="Something was left out or changed on the way.",
        remedy="Export it again.",
    )


def _compared(
    gguf: Path, folder: Path, tokenizer: Any, rows: Sequence[list[int]], trust_remote_code: bool
) -> Conformity:
    import numpy as np

    from engine.gguf_runtime.model import GgufModel
    from engine.training.model_loading import load_model

    model = load_model(folder, dtype="float32", trust_remote_code=trust_remote_code, attn_implementation="eager")
    model.requires_grad_(False)
    _round_as_in(gguf, model)
    largest = relative = 0.0
    same = total = 0
    with GgufModel.open(gguf, exact=True) as other:
        for ids in rows:
            batch = tokenizer.pad({"input_ids": [ids]}, return_tensors="pt")
            wanted = _logits(model, batch)
            found = np.asarray(other.logits(ids))
            difference = np.abs(wanted - found).max(axis=1)
            largest = max(largest, float(difference.max()))
            relative = max(relative, float((difference / wanted.std(axis=1)).max()))
            same += int((wanted.argmax(axis=1) == found.argmax(axis=1)).sum())
            total += len(ids)
    return Conformity(len(rows), total, largest, relative, same / total, tokens_equal=True)


def _round_as_in(gguf: Path, model: Any) -> None:
    """Round matrices, and what they are multiplied by, to the type that the file's matrices have."""
    import torch

    values, _ = read_gguf_metadata(gguf)
    dtype = {"F16": torch.float16, "BF16": torch.bfloat16}.get(STORED[int(values["general.file_type"])])
    if dtype is None:
        return

    def rounded(_module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return (arguments[0].to(dtype).float(), *arguments[1:])

    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(rounded)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data = parameter.data.to(dtype).float()


def _logits(model: Any, batch: Any) -> np.ndarray:
    import numpy as np

    return np.asarray(model(**batch).logits[0].float().numpy())
