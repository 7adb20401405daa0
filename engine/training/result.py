"""The result of training: written, read back, compared, and only then put in place.

Not here: merging and other artifacts made of it (`engine.exporters`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from engine.checkpoints import MANIFEST, sealed_files
from engine.errors import DivergedError, RunDirError
from engine.events import AdapterSaved
from engine.flushing import fsync_folder
from engine.run_dir import RunDir, read_json, write_atomic


def save_result(
    run: RunDir, model: Any, tokenizer: Any, weights: dict[str, torch.Tensor] | None = None
) -> AdapterSaved:
    """Write the trained weights to `adapter/`. Raises RunDirError if what is read back differs.

    `weights` are the whole ones of a model of which this process holds a part (`sharding.whole_state`).
    """
    staged = run.adapter.with_name("adapter.unfinished")
    shutil.rmtree(staged, ignore_errors=True)
    is_adapter = hasattr(model, "peft_config")
    if is_adapter:
        source = read_json(run.model)
        for config in model.peft_config.values():
            # A hub id stays one, so that the adapter loads anywhere; other bases are known by their folder.
            config.base_model_name_or_path = source["name"] if source["kind"] == "hub" else source["folder"]
        # Looking for a changed vocabulary would ask the hub.
        model.save_pretrained(staged, save_embedding_layers=False, state_dict=weights)
    else:
        model.save_pretrained(staged, state_dict=weights)
    tokenizer.save_pretrained(staged)
    compare(staged, model, is_adapter=is_adapter, weights=weights)
    files = sealed_files(staged)
    write_atomic(staged / MANIFEST, json.dumps({"files": files}, indent=1))
    shutil.rmtree(run.adapter, ignore_errors=True)
    staged.rename(run.adapter)
    fsync_folder(run.path)
    written = {name: entry for name, entry in files.items() if name.endswith(".safetensors")}
    main = max(written, key=lambda name: written[name]["bytes"])
    return AdapterSaved(
        path=run.adapter.name,
        num_bytes=sum(entry["bytes"] for entry in written.values()),
        sha256=str(written[main]["sha256"]),
    )


def compare(folder: Path, model: Any, *, is_adapter: bool, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Every trained tensor is finite, and on disk as it is in memory: `weights`, or the model's own. Raises
    RunDirError where one is not.

    One tensor at a time: a second copy of the whole model may not fit.
    """
    places = _places(folder)
    expected = _trained(model, places.keys(), is_adapter, weights)
    broken = [name for name, tensor in expected.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise DivergedError(
            f"The trained weights are not finite: {', '.join(broken[:3])}.",
            means="Training diverged, so there is no usable result.",
            remedy="Lower training.learning_rate, or use bfloat16 or float32 instead of float16.",
        )
    if not is_adapter and places and not expected.keys() <= places.keys():
        # Some families are written under other names than they have in memory; only loading turns them back.
        stored = type(model).from_pretrained(folder, dtype=model.dtype, local_files_only=True).state_dict()
        different = [name for name, tensor in expected.items() if not _equal(stored.get(name), tensor)]
    else:
        different = [name for name, tensor in expected.items() if not _equal(_read(places, name), tensor)]
    if different or not places:
        raise RunDirError(
            f"The saved weights differ from those in memory: {', '.join(different[:3]) or 'nothing was written'}.",
            means="The disk lost or changed something; the file is not kept.",
            remedy="Check the disk, then `finetui resume` the run: the last checkpoint is intact.",
        )


def _places(folder: Path) -> dict[str, Path]:
    """Which file holds each tensor."""
    places: dict[str, Path] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            places |= dict.fromkeys(file.keys(), path)
    return places


def _read(places: Mapping[str, Path], name: str) -> torch.Tensor | None:
    if name not in places:
        return None
    with safe_open(places[name], framework="pt") as file:
        tensor: torch.Tensor = file.get_tensor(name)
    return tensor


def _equal(stored: torch.Tensor | None, tensor: torch.Tensor) -> bool:
    return stored is not None and torch.equal(stored.cpu(), tensor.detach().cpu())


def _trained(
    model: Any, stored: Collection[str], is_adapter: bool, weights: dict[str, torch.Tensor] | None
) -> dict[str, torch.Tensor]:
    """What must be on disk, by name. A tensor tied to a stored one is written once, under that one's name."""
    if is_adapter:
        from peft import get_peft_model_state_dict

        adapter: dict[str, torch.Tensor] = get_peft_model_state_dict(
            model, state_dict=weights, save_embedding_layers=False
        )
        return adapter
    state: dict[str, torch.Tensor] = model.state_dict() if weights is None else weights
    written = {state[name].data_ptr() for name in stored if name in state}
    return {name: tensor for name, tensor in state.items() if name in stored or tensor.data_ptr() not in written}
