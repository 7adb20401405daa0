"""`adapter`: the trained adapter as others load it, with a card and the base's name instead of a path of this machine.

The weights are the run's own, byte for byte. Not here: training's own result (`engine/training/result`).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import FinetuiError
from engine.events import ArtifactExported
from engine.exporters import Job, checking, placing
from engine.exporters.model_card import adapter_card, base_of
from engine.exporters.tensor_files import DTYPES, entries
from engine.file_hashes import sha256_of
from engine.recipe import Problem, Recipe
from engine.run_dir import read_json

ARTIFACT = "adapter"
LEFT_BEHIND = ("README.md", "finetui-checkpoint.json", "adapter_config.json")
"""Written anew, or of no use to others."""


class Adapter:
    NAME = "adapter"
    HELP = "the trained adapter with a card, for others to load with PEFT"
    NEEDS: tuple[str, ...] = ()

    def problems(self, recipe: Recipe, _config: Mapping[str, Any] | None) -> list[Problem]:
        """Full fine-tuning makes no adapter."""
        if recipe.adapter.method != "full":
            return []
        told = "the whole model is trained (adapter.method = full), so there is no adapter."
        return [Problem("export.to", told, "Take merged: it is the trained model.")]

    def export(self, job: Job) -> list[ArtifactExported]:
        begun = time.monotonic()
        made_from, final = placing.origin(job), job.place / ARTIFACT
        if not job.settings.get("force") and (there := placing.up_to_date(final, made_from)):
            job.tell(ARTIFACT, "is there already and up to date")
            return [there]
        with placing.staged(job.place, ARTIFACT, made_from, 2 * placing.size_of(job.run.adapter)) as folder:
            job.tell(ARTIFACT, "copying")
            notes = _write(job, folder)
            notes = (*notes, *_check(job, folder))
            (folder / "README.md").write_text(adapter_card(job, notes), encoding="utf-8")
        event = ArtifactExported(
            artifact=ARTIFACT,
            kind="adapter",
            path=placing.place_name(job, final),
            num_bytes=placing.size_of(final),
            seconds=round(time.monotonic() - begun, 2),
            file_type=_dtype(final),
            notes=notes,
        )
        return [placing.remember(final, event)]


EXPORTER = Adapter()


def _write(job: Job, folder: Path) -> tuple[str, ...]:
    """Weights and tokenizer as they are, the configuration with the base's public name."""
    for path in job.run.adapter.iterdir():
        if path.is_file() and path.name not in LEFT_BEHIND:
            shutil.copyfile(path, folder / path.name)
    base = base_of(job)
    config = read_json(job.run.adapter / "adapter_config.json")
    config["base_model_name_or_path"] = base.hub_id or base.title
    config["revision"] = job.recipe.model.revision
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if base.hub_id:
        return (f"its base is {base.hub_id} on the hub",)
    return (f"its base, {base.title}, is not on the hub: whoever loads it names their own copy of it",)


def _check(job: Job, folder: Path) -> tuple[str, ...]:
    """Load it on its base. Raises FinetuiError where it changes nothing there or a file differs."""
    from engine.evaluation.contenders import with_adapter
    from engine.training.model_loading import load_model

    weights = "adapter_model.safetensors"
    if sha256_of(folder / weights) != sha256_of(job.run.adapter / weights):
        raise FinetuiError(
            "The copied adapter differs from the trained one.",
            means="The disk changed something; it is not kept.",
            remedy="Check the disk, then export again.",
        )
    base = Path(read_json(job.run.model)["folder"])
    stored, device = entries(base), str(job.settings.get("device") or "cpu")
    dtypes = [DTYPES.get(each.dtype, "bfloat16") for each in stored.values()]
    numbers = sum(each.num_bytes // (4 if each.dtype == "F32" else 2) for each in stored.values())
    dtype = checking.precision_that_fits(numbers, max(dtypes, key=dtypes.count), device)
    if dtype is None:
        return ("not loaded: the free memory does not hold its base",)
    job.tell(ARTIFACT, "loading it on its base")
    asked = checking.asked_rows(job)
    remote = job.recipe.model.trust_remote_code
    model = load_model(base, dtype=dtype, device=device, trust_remote_code=remote)
    before = checking.first_logits(model, asked)
    after = checking.first_logits(with_adapter(model, folder, merge=False), asked)
    difference = checking.logit_difference(before, after)
    if not difference > 0:
        raise FinetuiError(
            "Loaded on its base, the adapter changes nothing.",
            means="Its tensors do not belong to this base, or training changed nothing; it is not kept.",
            remedy=f"Look at the loss of the run: finetui status {job.run.typed}",
        )
    return (f"loaded on its base, it changes the logits by {difference:.2g} of their size",)


def _dtype(folder: Path) -> str:
    found = [DTYPES.get(each.dtype, each.dtype) for each in entries(folder).values()]
    return max(found, key=found.count) if found else ""
