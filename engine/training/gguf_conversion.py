"""One GGUF file -> one folder of safetensors, tokenizer and configuration, made once and kept in the cache.

transformers does the dequantizing; here stands what it leaves wrong: a model that claims to be quantized and
refuses to be saved, a tokenizer that cuts text otherwise than llama.cpp, padding with the end-of-turn token, no
maximum length. Not here: the tokenizer alone (`gguf_tokenizer`), and making GGUF files, the business of exporters.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel

from data.file_modes import make_private
from engine.converted_models import MANIFEST, folder_name, notes_if_whole, shelf_of
from engine.errors import ModelError
from engine.file_hashes import file_hashes
from engine.flushing import fsync_folder, fsync_tree
from engine.gguf_header import GgufHeader, read_gguf_header, unsupported
from engine.liveness import NO_LOCKS
from engine.training.gguf_tokenizer import gguf_tokenizer
from engine.training.model_loading import check_complete
from engine.training.tokenizer_loading import unloadable
from engine.units import format_bytes

_DTYPE_NOTE = (
    "float32, because a dequantized weight (scale x code + offset) is computed in float32 and a shorter type "
    "changes it: of SmolLM2's 134.5 M weights bfloat16 would round 79 %, float16 42 %"
)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A finished conversion. `folder` is a complete model folder; `notes` are for the user's eyes.

    `sha256` is that of the GGUF file. `from_cache` tells that nothing had to be done.
    """

    folder: Path
    sha256: str
    notes: tuple[str, ...]
    from_cache: bool


def convert(gguf_path: Path, cache_dir: Path) -> Conversion:
    """The model folder for a GGUF file: served from `cache_dir`, or made there first.

    The folder is keyed by the file's SHA-256 and the transformers version. It appears whole, by one rename,
    and every file in it is checked against its manifest before it is served; a damaged one is made again. Of
    two processes at once, the second waits for the first. Needs 4 bytes of disk and about 9 bytes of RAM per
    parameter. Raises ModelError for a file that is broken, unsupported or does not fit the disk.
    """
    ((_, sha256, _),) = file_hashes(gguf_path, cache_dir=cache_dir)
    key = folder_name(gguf_path, sha256)
    shelf = shelf_of(cache_dir)
    folder = shelf / key
    try:
        make_private(shelf)
        with _alone(shelf / f".{key}.lock"):
            notes = notes_if_whole(folder, sha256, cache_dir)
            if notes is not None:
                return Conversion(folder, sha256, notes, from_cache=True)
            for leftover in [folder, *shelf.glob(f".making-{key}-*")]:
                shutil.rmtree(leftover, ignore_errors=True)
            notes = _make(gguf_path, sha256, folder)
    except OSError as error:
        raise ModelError(
            f"{gguf_path.name} cannot be converted in {shelf}: {error.strerror or error}.",
            means="The converted weights are kept there, so that they are made only once.",
            remedy="Free space on that disk, make the folder writable, or set FINETUI_CACHE to another folder.",
        ) from error
    return Conversion(folder, sha256, notes, from_cache=False)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold an advisory lock; the kernel lets it go when this process ends, however it ends."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as fault:
            if fault.errno not in NO_LOCKS:  # without any, two at once both make it, each in a folder of its own
                raise
        yield


def _make(gguf_path: Path, sha256: str, folder: Path) -> tuple[str, ...]:
    header = read_gguf_header(gguf_path)
    if header.config is None:
        raise unsupported(gguf_path, header)
    _check_space(gguf_path, header, folder.parent)
    making = Path(tempfile.mkdtemp(prefix=f".making-{folder.name}-", dir=folder.parent))
    try:
        tokenizer, notes = gguf_tokenizer(gguf_path, header)
        model = _dense_model(gguf_path)
        _agree_on_tokens(model, tokenizer)
        model.save_pretrained(making)
        tokenizer.save_pretrained(making)
        _write_manifest(making, gguf_path, sha256, header, notes)
        fsync_tree(making)
        making.rename(folder)
        fsync_folder(folder.parent)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return notes


def _check_space(gguf_path: Path, header: GgufHeader, shelf: Path) -> None:
    needed, free = 4 * header.num_parameters + 64 * 2**20, shutil.disk_usage(shelf).free
    if needed > free:
        raise ModelError(
            f"Converting {gguf_path.name} needs {format_bytes(needed)} of disk; {shelf} has {format_bytes(free)} free.",
            means="The dequantized weights are kept as float32 safetensors.",
            remedy="Free space there, or set FINETUI_CACHE to a folder on a larger disk.",
        )


def _dense_model(gguf_path: Path) -> PreTrainedModel:
    """The model with float32 weights, freed of its claim to be quantized."""
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            gguf_path.parent,
            gguf_file=gguf_path.name,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, SafetensorError) as error:
        raise unloadable(gguf_path, "model", error) from error
    model, info = loaded
    check_complete(gguf_path, info)
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise ModelError(
                f"{gguf_path} holds numbers that are not finite, first in {name}.",
                means="The file is damaged; training on it gives nothing.",
                remedy="Download it again and compare its SHA-256 with the one stated at its source.",
            )
    # With these left, save_pretrained refuses and Trainer holds the weights for untrainable.
    model.hf_quantizer = None
    model.is_quantized = False
    del model.config.quantization_config
    assert isinstance(model, PreTrainedModel)
    return model


def _agree_on_tokens(model: PreTrainedModel, tokenizer: Any) -> None:
    """Make model and generation configuration name the tokenizer's special tokens."""
    model.config.pad_token_id = tokenizer.pad_token_id
    if model.generation_config is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id
        model.generation_config.eos_token_id = tokenizer.eos_token_id


def _write_manifest(making: Path, gguf_path: Path, sha256: str, header: GgufHeader, notes: tuple[str, ...]) -> None:
    """List what was made, with sizes and hashes. Written last: a folder without it was not finished."""
    manifest = {
        "gguf": {
            "name": gguf_path.name,
            "sha256": sha256,
            "bytes": gguf_path.stat().st_size,
            "architecture": header.architecture,
            "tensor_types": list(header.tensor_types),
            "licence": header.licence,
        },
        "transformers": transformers.__version__,
        "weights": _DTYPE_NOTE,
        "notes": list(notes),
        "files": [{"name": name, "sha256": digest, "bytes": size} for name, digest, size in file_hashes(making)],
    }
    (making / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
