"""`ollama`: a folder for `ollama create`: the GGUF file and a Modelfile that asks the model as training did.

Not here: the GGUF file (`gguf`), and TEMPLATE, stop and their checks (`engine.chat_markup`).
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.chat_markup.modelfile import Modelfile, can_hold, read
from engine.chat_markup.served_chat import Chat, completion_chat, served_chat
from engine.events import ArtifactExported, clip
from engine.exporters import Job, placing
from engine.exporters.gguf import EXPORTER as GGUF
from engine.exporters.gguf import gguf_file
from engine.exporters.merged import merged_folder
from engine.exporters.model_card import base_of
from engine.gguf_header import read_gguf_header
from engine.gguf_metadata import read_gguf_metadata
from engine.recipe import Problem, Recipe
from engine.run_dir import read_json

ARTIFACT = "ollama"
USUAL_CONTEXT = 4096
"""Tokens of context that Ollama gives a model unless told; one trained on longer rows gets room for those."""
FIXED = (("temperature", "0"), ("repeat_penalty", "1.0"))
"""Greedy, as every score of the run was measured. Ollama punishes repetition unless told not to, which changes answers
that repeat words of the question."""
NOTE_BYTES = 500


class Ollama:
    NAME = "ollama"
    HELP = "a folder for `ollama create`: the GGUF file and a checked Modelfile"
    NEEDS: tuple[str, ...] = ("gguf",)

    def problems(self, recipe: Recipe, config: Mapping[str, Any] | None) -> list[Problem]:
        """Those of the GGUF file and of the system text; the chat template is checked when the folder is made."""
        found = [*GGUF.problems(recipe, config)]
        if not can_hold(recipe.data.system or ""):
            happened = (
                "holds three double quotes at the end of a line, or a carriage return; no Modelfile can hold that."
            )
            found.append(Problem("data.system", happened, "Change it, or leave ollama out of export.to."))
        return found

    def export(self, job: Job) -> list[ArtifactExported]:
        begun = time.monotonic()
        source, final = gguf_file(job), job.place / ARTIFACT
        made_from = placing.origin(job, file=source.name, name=model_name(job))
        if not job.settings.get("force") and (there := placing.up_to_date(final, made_from)):
            job.tell(ARTIFACT, "is there already and up to date")
            return [there]
        job.tell(ARTIFACT, "rendering conversations both ways")
        system = system_text(job)
        chat = _chat(job, source, system)
        with placing.staged(job.place, ARTIFACT, made_from) as folder:
            if placing.link_or_copy(source, folder / source.name):
                notes = (f"the GGUF file is the same as gguf/{source.name}, linked, and takes no room of its own",)
            else:
                notes = ("the GGUF file is a copy: this disk has no hard links",)
            modelfile = _modelfile(job, source, chat, system)
            path = folder / "Modelfile"
            path.write_text(modelfile.text(), encoding="utf-8")
            if read(path.read_text(encoding="utf-8")) != modelfile:
                raise AssertionError("the Modelfile does not read as it was written")
        return [placing.remember(final, _event(job, final, source, (*chat.notes, *notes), chat, begun))]


EXPORTER = Ollama()


def create_command(job: Job, final: Path) -> str:
    """What puts the folder into Ollama."""
    return f"cd {shlex.quote(str(final))} && ollama create {shlex.quote(model_name(job))} -f Modelfile"


def model_name(job: Job) -> str:
    """The name asked for, else the run's, with the characters that Ollama allows."""
    wanted = str(job.settings.get("name") or job.run.name)
    return "".join(each if each.isascii() and (each.isalnum() or each in "-_./:") else "-" for each in wanted).lower()


def system_text(job: Job) -> str | None:
    """The recipe's data.system, or the system message that every trained row begins with; None where they differ."""
    from data.conversation import Conversation
    from engine.training.dataset_files import read_examples

    found: set[str | None] = set()
    for row in read_examples(job.run.dataset / "train.jsonl"):
        first = row.messages[0] if isinstance(row, Conversation) else None
        found.add(first.content if first is not None and first.role == "system" else None)
        if len(found) > 1:
            break
    return job.recipe.data.system or (found.pop() if len(found) == 1 else None)


def _chat(job: Job, source: Path, system: str | None) -> Chat:
    from engine.training.tokenizer_loading import load_tokenizer

    tokenizer = load_tokenizer(merged_folder(job), trust_remote_code=job.recipe.model.trust_remote_code)
    prepared = read_json(job.run.prepared)
    stop = tuple(str(text) for text in tokenizer.convert_ids_to_tokens(sorted(prepared["stop_ids"])))
    if prepared["rendering"] == "plain" and not _has_turns(job):
        return completion_chat(stop)
    return served_chat(tokenizer, prepared["rendering"], source, stop, system=system)


def _has_turns(job: Job) -> bool:
    """Whether the run was trained on requests and answers; the first row tells."""
    from data.conversation import Conversation
    from engine.training.dataset_files import read_examples

    return isinstance(next(iter(read_examples(job.run.dataset / "train.jsonl")), None), Conversation)


def _modelfile(job: Job, source: Path, chat: Chat, system: str | None) -> Modelfile:
    values, _ = read_gguf_metadata(source)
    header = read_gguf_header(source)
    longest = int(values.get(f"{header.architecture}.context_length") or USUAL_CONTEXT)
    context = min(longest, max(USUAL_CONTEXT, job.plan.max_length))
    comment = (
        f"{job.run.name}, tuned with finetui on {base_of(job).title}.",
        f"To use it: ollama create {model_name(job)} -f Modelfile",
        "temperature 0: answers are the likeliest ones, as they were scored; raise it for free text.",
    )
    return Modelfile(
        model=f"./{source.name}",
        template=chat.template,
        system=system or None,
        parameters=(*(("stop", text) for text in chat.stop), ("num_ctx", str(context)), *FIXED),
        licence=header.licence or base_of(job).licence,
        comment=comment,
    )


def _event(job: Job, final: Path, source: Path, notes: tuple[str, ...], chat: Chat, begun: float) -> ArtifactExported:
    checked = f"{chat.num_checked} conversations rendered and tokenized as in training" if chat.num_checked else ""
    told = f"`ollama create` was not run here; to do it: {create_command(job, final)}"
    return ArtifactExported(
        artifact=ARTIFACT,
        kind="ollama",
        path=placing.place_name(job, final),
        num_bytes=placing.size_of(final),
        seconds=round(time.monotonic() - begun, 2),
        file_type=source.stem.removeprefix(f"{job.run.name}-"),
        notes=tuple(clip(note, NOTE_BYTES) for note in (checked, *notes, told) if note),
    )
