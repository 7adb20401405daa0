"""The README of an exported model: from what it was made, how good it is, how to load it.

Paths of this machine stay out of it: a base in a local folder is named by the folder's own name. Not here: the
run's report.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.event_log import read_events
from engine.events import VariantScored
from engine.exporters import Job
from engine.known_models import KNOWN_MODELS
from engine.model_source import locate
from engine.run_dir import read_json

LOAD_MERGED = """from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForCausalLM.from_pretrained("{folder}", dtype="auto")"""
LOAD_ADAPTER = """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{folder}")
base = AutoModelForCausalLM.from_pretrained("{base}", dtype="auto")
model = PeftModel.from_pretrained(base, "{folder}")"""
ASK = """
prompt = tokenizer.apply_chat_template(
    {messages}, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
answer = model.generate(**prompt, max_new_tokens={max_new_tokens}, do_sample=False)
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1]:], skip_special_tokens=True))"""
ASK_PLAIN = """
prompt = tokenizer({text}, return_tensors="pt")
answer = model.generate(**prompt, max_new_tokens={max_new_tokens}, do_sample=False)
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1]:], skip_special_tokens=True))"""


@dataclass(frozen=True, slots=True)
class Base:
    """The base model as others know it: what they write to load it, and its id where it is on the hub."""

    title: str
    hub_id: str | None
    licence: str | None
    note: str

    @property
    def loadable(self) -> str:
        return self.hub_id or "path/to/the/base/model"


def base_of(job: Job) -> Base:
    """The base model of a run, without a path of this machine."""
    record = read_json(job.run.model)
    name, kind = record.get("name") or record["folder"], record.get("kind", "folder")
    if kind == "hub":
        known = KNOWN_MODELS.get(name)
        return Base(name, name, known.licence if known else None, "")
    if kind == "bundled":
        licence = locate(name, base_dir=Path("/"), complete=False).licence
        note = "The base ships with finetui's extra packages; it is no repository of the hub."
        return Base(name, None, licence, note)
    return Base(Path(name).name, None, None, "The base was a local folder or file, which you need to have yourself.")


def merged_card(job: Job, dtype: str, notes: tuple[str, ...]) -> str:
    """README.md of the merged model."""
    title = f"{job.recipe.title or job.run.name} (merged)"
    return _card(job, title, LOAD_MERGED.format(folder="path/to/this/folder"), {"library_name": "transformers"}, (
        f"The trained change is inside the weights, which are {dtype}; PEFT is not needed to load it.",
        *(f"{note[0].upper()}{note[1:]}." for note in notes),
    ))  # fmt: skip


def adapter_card(job: Job, notes: tuple[str, ...]) -> str:
    """README.md of the adapter."""
    base, title = base_of(job), f"{job.recipe.title or job.run.name} (adapter)"
    loading = LOAD_ADAPTER.format(folder="path/to/this/folder", base=base.loadable)
    return _card(job, title, loading, {"library_name": "peft"}, (
        "Only the trained change: it works on that base model and on no other.",
        *(f"{note[0].upper()}{note[1:]}." for note in notes),
    ))  # fmt: skip


def _card(job: Job, title: str, loading: str, metadata: dict[str, str], about: tuple[str, ...]) -> str:
    base = base_of(job)
    licence = f"{base.licence}, that of the base model" if base.licence else "that of the base model; look it up there"
    head = {**metadata, "pipeline_tag": "text-generation"}
    if base.hub_id:
        head["base_model"] = base.hub_id
    parts = [
        "---",
        *(f"{name}: {json.dumps(value)}" for name, value in head.items()),
        "tags:",
        "- finetui",
        "---",
        f"# {' '.join(_plain(title).split())}",
        "",
        _plain(job.recipe.description.strip()) if job.recipe.description else "",
        "",
        *(f"- {_plain(line)}" for line in about),
        "",
        "## From what it was made",
        "",
        f"- Base model: {_plain(base.title)}. {base.note}".rstrip(),
        f"- Licence: {_plain(licence)}.",
        *(f"- {line}" for line in _training(job)),
        *(f"- {line}" for line in _data(job)),
        "",
        "## How good it is",
        "",
        *_scores(job),
        "",
        "## How to load it",
        "",
        "```python",
        loading,
        _asking(job).strip("\n"),
        "```",
        "",
        f"Made with finetui from the run {job.run.name}.",
        "",
    ]
    return "\n".join(parts)


def _training(job: Job) -> list[str]:
    plan, recipe = job.plan, job.recipe.training
    what = {"full": "every weight", "lora": "a LoRA adapter", "qlora": "a LoRA adapter on a 4-bit base (QLoRA)"}
    if plan.method == "full":
        shape = ""
    else:
        more = "".join([", rsLoRA" if plan.use_rslora else "", ", DoRA" if plan.use_dora else ""])
        shape = f", r = {plan.r}, alpha = {plan.lora_alpha:g}{more}"
    size = plan.per_device_train_batch_size * plan.gradient_accumulation_steps
    rate = f"Learning rate {recipe.learning_rate:g} ({recipe.lr_scheduler_type}), effective batch size {size}"
    return [
        f"Trained: {what[plan.method]}{shape}.",
        f"{rate}, rows of at most {plan.max_length} tokens, seed {recipe.seed}.",
    ]


def _data(job: Job) -> list[str]:
    try:
        prepared = read_json(job.run.prepared)
        sizes = {name: each["rows"] for name, each in prepared["splits"].items()}
        files = [Path(each["name"]).name for each in prepared["files"]]
    except (KeyError, TypeError):
        return []
    rows = f"Rows: {sizes.get('train', 0)} trained, {prepared['test'].get('rows', 0)} kept for the test"
    return [f"{rows}; from {_plain(', '.join(files[:4]))}{' and others' if len(files) > 4 else ''}."]


def _scores(job: Job) -> list[str]:
    scored: dict[tuple[str, str], VariantScored] = {}
    for stamped in read_events(job.run.events):
        if isinstance(stamped.event, VariantScored):
            scored[stamped.event.variant, stamped.event.dataset] = stamped.event
    if not scored:
        return ["It was not scored."]
    lines = ["| model | rows | exact match | 95 % interval |", "|---|---|---|---|"]
    for each in scored.values():
        share = each.num_correct / each.num_rows if each.num_rows else math.nan
        interval = f"{each.low:.1%} to {each.high:.1%}"
        lines.append(f"| {_plain(each.title)} | {each.num_rows} ({each.dataset}) | {share:.1%} | {interval} |")
    return lines


def _asking(job: Job) -> str:
    """How to ask, in the way the rows were trained."""
    limit = job.recipe.evaluation.max_new_tokens
    try:
        is_chat = read_json(job.run.prepared)["rendering"] == "chat"
    except KeyError:
        is_chat = True
    if not is_chat:
        return ASK_PLAIN.format(text='"your request\\n"', max_new_tokens=limit)
    system = job.recipe.data.system
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": "your request"})
    return ASK.format(messages=json.dumps(messages, ensure_ascii=False), max_new_tokens=limit)


def _plain(text: str) -> str:
    """A user's text in Markdown: no tag, no control character."""
    shown = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
    return shown.replace("<", "&lt;")
