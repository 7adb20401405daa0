"""What there is to know of a draft's model before it is fetched: size, licence, what will be downloaded.

`model_facts` asks no network; `look_up` does, when somebody wants it. Not here: choosing a model (`model`).
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.units import format_bytes
from tui_app.steps.draft import Draft

if TYPE_CHECKING:
    from engine.model_shape import ModelShape
    from engine.model_source import ModelSource

GATED_OWNERS = ("google/gemma", "meta-llama/")
"""Beginnings of names whose owners are known to ask for a licence to be accepted first."""
WEIGHT_ENDINGS = (".safetensors", ".gguf")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model. None stands for "not known here"; `fault` says why it cannot be used, with the remedy.

    `download_bytes` is 0 where everything is here. `is_estimated`: from the parameters, at 16 bits.
    """

    name: str
    kind: str = ""
    num_parameters: int | None = None
    disk_bytes: int | None = None
    licence: str | None = None
    is_gated: bool | None = None
    download_bytes: int | None = 0
    is_estimated: bool = False
    architecture: str | None = None
    max_positions: int | None = None
    note: str = ""
    fault: str = ""

    def sentences(self) -> tuple[str, ...]:
        """The facts for a person, one each."""
        if self.fault:
            return (self.fault,)
        if not self.name:
            return ("No model is named yet.",)
        told = [f"{self.num_parameters / 1e6:,.0f} M parameters" if self.num_parameters else "size not known yet"]
        if self.architecture:
            told[0] += f", {self.architecture}, up to {self.max_positions:,} tokens"
        told.append(f"licence: {self.licence or 'not known here; its page says'}")
        if self.is_gated:
            told.append("gated: accept its licence on its page, then `hf auth login`")
        if self.download_bytes == 0:
            told.append(f"on this machine, {format_bytes(self.disk_bytes)}" if self.disk_bytes else "on this machine")
        elif self.download_bytes is None:
            told.append("will be downloaded; how much is not known yet")
        else:
            about = "about " if self.is_estimated else ""
            told.append(f"will be downloaded: {about}{format_bytes(self.download_bytes)}")
        return (*told, *([self.note] if self.note else []))


def model_facts(draft: Draft) -> ModelFacts:
    """What is known without a network."""
    from engine.errors import FinetuiError
    from engine.model_source import locate
    from tui_app.steps.own_sizes import base_folder, shape_of_draft

    name, revision = draft.value("model.name_or_path"), draft.value("model.revision") or None
    if not name:
        return ModelFacts("")
    try:
        source = locate(name, base_dir=base_folder(draft), revision=revision)
    except FinetuiError as fault:
        return ModelFacts(name, fault=" ".join(part for part in (fault.happened, fault.remedy) if part))
    facts = _with_shape(ModelFacts(name, source.kind, licence=source.licence, note=source.note or ""), draft)
    if source.kind == "hub":
        return _hub(facts, source, shape_of_draft(draft))
    assert source.path is not None
    folder = source.path if source.path.is_dir() else None
    size = folder_bytes(folder) if folder else source.path.stat().st_size
    return dataclasses.replace(
        facts, disk_bytes=size, licence=facts.licence or (licence_in(folder) if folder else None)
    )


def look_up(draft: Draft) -> ModelFacts:
    """The same with what the hub says: size, licence, gate; its config.json is kept. Raises ModelError."""
    from engine import model_hub
    from engine.hub_facts import repository_facts
    from tui_app.steps.foresight import foresee
    from tui_app.steps.own_sizes import forget_shapes

    facts = model_facts(draft)
    if facts.kind != "hub":
        return facts
    revision = draft.value("model.revision") or None
    request = model_hub.HubRequest(facts.name, revision, None, draft.value("model.offline") == "true")
    told = repository_facts(request)
    if not told.is_gated:
        model_hub.fetch_config(request)
        forget_shapes()
        foresee.cache_clear()
        facts = _with_shape(facts, draft)
    here = facts.disk_bytes or 0
    return dataclasses.replace(
        facts,
        licence=told.licence or facts.licence,
        is_gated=told.is_gated,
        download_bytes=max(told.num_bytes - here, 0),
        is_estimated=False,
    )


def _with_shape(facts: ModelFacts, draft: Draft) -> ModelFacts:
    from tui_app.steps.own_sizes import shape_of_draft

    shape = shape_of_draft(draft)
    if shape is None:
        return facts
    return dataclasses.replace(
        facts,
        num_parameters=shape.num_parameters,
        architecture=shape.architecture,
        max_positions=shape.max_position_embeddings,
    )


def _hub(facts: ModelFacts, source: ModelSource, shape: ModelShape | None) -> ModelFacts:
    """A hub model by what its cache holds."""
    from engine.model_folder import folder_fault
    from engine.model_hub import HubRequest, cached_config

    request = HubRequest(source.name_or_path, source.revision, None, offline=True)
    is_gated = True if source.name_or_path.startswith(GATED_OWNERS) else None
    config = cached_config(request)
    if config is not None and folder_fault(config.parent) is None:
        licence = facts.licence or licence_in(config.parent)
        return dataclasses.replace(
            facts, disk_bytes=folder_bytes(config.parent), licence=licence, is_gated=is_gated, download_bytes=0
        )
    expected = shape.num_parameters * 2 if shape else None
    return dataclasses.replace(facts, is_gated=is_gated, download_bytes=expected, is_estimated=True)


def folder_bytes(folder: Path) -> int:
    """Bytes of the weights in a model folder; links into the hub's cache count as what they point to."""
    total = 0
    for path in folder.iterdir():
        if path.suffix.lower() in WEIGHT_ENDINGS and path.is_file():
            total += path.stat().st_size
    return total


def licence_in(folder: Path) -> str | None:
    """What a model folder's README or config.json says of its licence."""
    try:
        head = (folder / "README.md").read_text(encoding="utf-8", errors="replace")[:4000]
        if head.startswith("---") and (found := re.search(r"^license(?:_name)?:\s*(\S.*)$", head, re.MULTILINE)):
            return found[1].strip().strip("\"'")
    except OSError:
        pass
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        licence = values.get("license") if isinstance(values, dict) else None
    except (OSError, ValueError):
        return None
    return licence if isinstance(licence, str) else None
