"""Whether one model can be had and trained here: there, licence accepted, whole, supported, padding, template, room.

Runs in the worker process: huggingface_hub and transformers are imported, only small files are fetched. Not here: how a
model is found (`engine.model_source`) and what the hub's refusals mean (`engine.model_hub`).
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine import model_hub
from engine.bundled_models import bundled_model
from engine.doctor.finding import Finding, worst
from engine.doctor.hub import LOG_IN
from engine.doctor.storage import disk_space
from engine.errors import ModelError
from engine.host import existing_parent
from engine.hub_facts import repository_facts
from engine.model_folder import read_config
from engine.model_hub import HubRequest
from engine.model_shape import model_shape
from engine.model_source import ModelSource, fetch, fetch_config, locate
from engine.units import format_bytes

SPARE = 1.05
"""Share of the download that must be free: the hub's cache also keeps what is on its way."""


def model_findings(
    name: str, base_dir: str, revision: str | None, *, is_offline: bool, trust_remote_code: bool
) -> Iterator[Finding]:
    """Everything that keeps a run of this model from starting. Never raises ModelError."""
    try:
        source = locate(name, base_dir=Path(base_dir), revision=revision)
    except ModelError as fault:
        yield refused("model", fault)
        return
    if source.kind == "hub":
        request = HubRequest(name, revision, None, is_offline, source.nearest)
        folder, found = hub_model(source, request)
        yield from found
        if worst(found) == "fail" or folder is None:
            return
        yield from configuration(read_config(folder), trust_remote_code)
        yield from tokenizer(folder)
        return
    try:
        path = fetch(source, offline=True)
        config = fetch_config(source, offline=True)
    except ModelError as fault:
        yield refused("model", fault)
        return
    yield Finding("model", "ok", f"{source.kind}: {path}{f'; {source.note}' if source.note else ''}")
    yield from configuration(config, trust_remote_code)
    if source.kind == "folder":
        yield from tokenizer(path)
    elif source.kind == "bundled":
        yield Finding("pad token", "ok", bundled_model(name).pad_token)


def hub_model(source: ModelSource, request: HubRequest) -> tuple[Path | None, list[Finding]]:
    """A folder with the model's small files (None if there is none), and what was found on the way."""
    try:
        folder = fetch(source, offline=True)
    except ModelError as missing:
        if request.is_offline:
            found = refused("model", missing)
            return None, [Finding("model", "fail", found.found, found.remedy, request.download_command)]
        return _asked(request)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return folder, [Finding("model", "ok", f"{request.repo_id} is in the cache, {format_bytes(size)}")]


def _asked(request: HubRequest) -> tuple[Path | None, list[Finding]]:
    """The hub's own word on a model that is not here: is it there, may this machine have it, is there room."""
    found: list[Finding] = []
    try:
        facts = repository_facts(request)
        licence = facts.licence or "no licence stated"
        found.append(
            Finding("model", "ok", f"{request.repo_id} is on the hub, {format_bytes(facts.num_bytes)} to fetch")
        )
        found.append(room(request, facts.num_bytes))
        folder = model_hub.fetch_settings(request)
    except ModelError as fault:
        name = "licence" if is_about_access(fault) else "model"
        return None, [*(each for each in found if each.name != name), refused(name, fault, request)]
    kind = f"{licence}, accepted" if facts.is_gated else licence
    return folder, [*found, Finding("licence", "ok", kind)]


def is_about_access(fault: ModelError) -> bool:
    """Whether the hub knows the model and will not give it."""
    told = fault.happened
    return "is gated" in told or ("has no model" not in told and ("HTTP 401" in told or "HTTP 403" in told))


def refused(name: str, fault: ModelError, request: HubRequest | None = None) -> Finding:
    """A ModelError as a finding, with the command in it where there is one."""
    text = " ".join(fault.happened.split())
    if request is not None and is_about_access(fault):
        page = f"https://huggingface.co/{request.repo_id}"
        return Finding(name, "fail", text, f"Accept the licence at {page}, then log in:", LOG_IN)
    mend = ""
    if "hf auth login" in fault.remedy:
        mend = LOG_IN
    elif request is not None and "hf download" in fault.remedy:
        mend = request.download_command
    elif "pip install" in fault.remedy:
        mend = f"{shlex.quote(sys.executable)} -m pip install {fault.remedy.partition('pip install ')[2].split('`')[0]}"
    return Finding(name, "fail", text, fault.remedy, mend)


def room(request: HubRequest, num_bytes: int) -> Finding:
    """Free bytes where the download would go."""
    place = existing_parent(request.cache_folder)
    found = disk_space("room for the model", place, int(num_bytes * SPARE))
    if found.status != "fail":
        return Finding(found.name, "ok", found.found)
    told = f"{found.found}; {format_bytes(int(num_bytes * SPARE))} are needed"
    return Finding(found.name, "fail", told, "Keep models on a larger disk.", "export HF_HOME=/larger/disk/huggingface")


def configuration(config: Mapping[str, Any], trust_remote_code: bool) -> Iterator[Finding]:
    """Whether the installed transformers knows the family, and whether finetui can size it."""
    from transformers import CONFIG_MAPPING

    family = str(config.get("model_type", ""))
    if family not in CONFIG_MAPPING and not trust_remote_code:
        found = f"transformers does not know the family {family or '(none named)'}"
        remedy = "Choose another model: `finetui presets` lists some that are known to work."
        if "auto_map" in config:
            remedy = (
                "It needs Python code of its own. Read that code; if you trust it: --set model.trust_remote_code=true"
            )
        yield Finding("architecture", "fail", found, remedy, "finetui presets")
        return
    try:
        shape = model_shape(config)
    except ModelError as fault:
        remedy = "It may still train; its memory is told by the dry run only."
        yield Finding("architecture", "warn", f"{family}: {fault.happened}", remedy)
        return
    yield Finding("architecture", "ok", f"{family}, {shape.num_parameters / 1e6:,.0f} M parameters")


def tokenizer(folder: Path) -> Iterator[Finding]:
    """Padding token and chat template, from the tokenizer itself where it is here, else from its settings."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        yield from tokenizer_settings(folder)
        return
    from engine.training.tokenizer_loading import load_tokenizer, pad_choice

    try:
        loaded = load_tokenizer(folder)
        choice = pad_choice(loaded)
    except ModelError as fault:
        name = "pad token" if "padding token" in fault.happened else "tokenizer"
        yield Finding(name, "fail", fault.happened, fault.remedy)
        return
    yield pad_finding(choice.token, ends_answers=choice.ends_answers)
    yield template_finding(has_template=bool(getattr(loaded, "chat_template", None)))


def tokenizer_settings(folder: Path) -> Iterator[Finding]:
    """What tokenizer_config.json alone says."""
    try:
        stored = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = {}
    if not isinstance(stored, dict):
        stored = {}
    pad, end = (_text_of(stored.get(name)) for name in ("pad_token", "eos_token"))
    if pad:
        yield pad_finding(pad, ends_answers=pad == end)
    else:
        found = "the settings name none; a run looks for one in the vocabulary"
        yield Finding("pad token", "ok" if end else "warn", found)
    yield template_finding(has_template="chat_template" in stored or any(folder.glob("chat_template.*")))


def _text_of(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def pad_finding(token: str, *, ends_answers: bool) -> Finding:
    """`ends_answers`: the token also ends answers, so padding must not be trained."""
    if not ends_answers:
        return Finding("pad token", "ok", token)
    found = f"{token}, which also ends answers"
    return Finding(
        "pad token", "warn", found, "See that the tuned model ends its answers: the report tells (stop rate)."
    )


def template_finding(*, has_template: bool) -> Finding:
    """A base model has none: its rows are written as plain text."""
    if has_template:
        return Finding("chat template", "ok", "there is one")
    return Finding(
        "chat template",
        "ok",
        "none: a base model; rows are written as plain text",
        "An -it or -Instruct model has one.",
    )
