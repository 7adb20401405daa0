"""The result of training: written, read back, compared, and only then put in place.

Not here: merging and other artifacts made of it (`engine.exporters`).
"""

from __future__ import annotations

import json
import shutil
from typing import Any

import torch
from safetensors.torch import load_file

from engine.checkpoints import MANIFEST, file_sha256
from engine.errors import RunDirError
from engine.events import AdapterSaved
from engine.run_dir import RunDir, read_json, write_atomic


def save_result(run: RunDir, model: Any, tokenizer: Any) -> AdapterSaved:
    """Write the trained weights to `adapter/`. Raises RunDirError if what is read back differs."""
    staged = run.adapter.with_name("adapter.unfinished")
    shutil.rmtree(staged, ignore_errors=True)
    is_adapter = hasattr(model, "peft_config")
    if is_adapter:
        source = read_json(run.model)
        for config in model.peft_config.values():
            # A hub id stays one, so that the adapter loads anywhere; other bases are known by their folder.
            config.base_model_name_or_path = source["name"] if source["kind"] == "hub" else source["folder"]
        # Looking for a changed vocabulary would ask the hub.
        model.save_pretrained(staged, save_embedding_layers=False)
    else:
        model.save_pretrained(staged)
    tokenizer.save_pretrained(staged)
    compare(staged, model, is_adapter=is_adapter)
    files: dict[str, dict[str, Any]] = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(staged.iterdir())
        if path.is_file()
    }
    write_atomic(staged / MANIFEST, json.dumps({"files": files}, indent=1))
    shutil.rmtree(run.adapter, ignore_errors=True)
    staged.rename(run.adapter)
    weights = {name: entry for name, entry in files.items() if name.endswith(".safetensors")}
    main = max(weights, key=lambda name: weights[name]["bytes"])
    return AdapterSaved(
        path=run.adapter.name,
        num_bytes=sum(entry["bytes"] for entry in weights.values()),
        sha256=str(weights[main]["sha256"]),
    )


def compare(folder: Any, model: Any, *, is_adapter: bool) -> None:
    """Every trained tensor on disk equals the one in memory, and all of them are finite."""
    stored: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        stored |= load_file(path)
    if is_adapter:
        from peft import get_peft_model_state_dict

        expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    else:
        expected = {name: tensor for name, tensor in model.state_dict().items() if name in stored}
    different = [
        name
        for name, tensor in expected.items()
        if name not in stored or not torch.equal(stored[name].cpu(), tensor.detach().cpu())
    ]
    if different or not stored:
        raise RunDirError(
            f"The saved weights differ from those in memory: {', '.join(different[:3]) or 'nothing was written'}.",
            means="The disk lost or changed something; the file is not kept.",
            remedy="Check the disk, then `finetui resume` the run: the last checkpoint is intact.",
        )
    broken = [name for name, tensor in stored.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise RunDirError(
            f"The trained weights are not finite: {', '.join(broken[:3])}.",
            means="Training diverged, so there is no usable result.",
            remedy="Lower training.learning_rate, or use bfloat16 or float32 instead of float16.",
        )
