"""`merged`: the trained change put into the base's weights, a model folder that needs no PEFT.

Written in the base's own type, tensor by tensor (`merging`); read back and compared with the adapter on the base on
real rows before it is put in place. GGUF files are made of it: `merged_folder`. Not here: what answers are worth.
"""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import FinetuiError, ModelError
from engine.events import ArtifactExported
from engine.exporters import Job, Throttled, checking, placing, references
from engine.exporters.checking import Asked
from engine.exporters.merging import Merge, UnknownLayoutError, planned_merge, write_merged
from engine.exporters.model_card import merged_card
from engine.exporters.references import Reference
from engine.exporters.tensor_files import DTYPES, entries
from engine.host import disk_free_bytes
from engine.model_folder import check_folder, own_files
from engine.model_shape import model_shape
from engine.recipe import Problem, Recipe
from engine.run_dir import read_json, runs_root
from engine.units import format_bytes

ARTIFACT = "merged"
BESIDE_WEIGHTS_BYTES = 64 * 1024**2
"""Room for the tokenizer and the small files."""
BOUNDS = {"float32": 1e-3, "float16": 0.02, "bfloat16": 0.05}
"""How far the logits may be from those of the adapter on the base (`checking.logit_difference`), by the type written:
rounding to bfloat16 alone gives up to 0.02 on tiny random models, a wrong scale or a forgotten layer more than 0.2."""
WITHOUT = "train without it: --set 'export.to=[]'"
TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "vocab*", "merges*")


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the type of the weights, how, and what has to be said about it."""

    dtype: str
    num_parameters: int
    notes: tuple[str, ...]


class Merged:
    NAME = "merged"
    HELP = "a model folder with the adapter inside, in the base's type"
    NEEDS: tuple[str, ...] = ()

    def problems(self, recipe: Recipe, config: Mapping[str, Any] | None) -> list[Problem]:
        """A base whose files are quantized has no 16-bit weights to merge into; a disk may be too small."""
        if config is None:
            return []
        if "quantization_config" in config and recipe.adapter.method != "full":
            return [
                Problem(
                    "export.to",
                    "the base model's files are quantized, so there are no plain weights to merge the adapter into.",
                    f"Choose the unquantized model as model.name_or_path, or {WITHOUT}.",
                )
            ]
        needed, root = _expected_bytes(config), runs_root(recipe.run.root)
        if needed is None or (free := disk_free_bytes(root)) >= needed + BESIDE_WEIGHTS_BYTES:
            return []
        lacks = f"the merged model takes about {format_bytes(needed)}, and the disk of {root} has {format_bytes(free)}"
        return [Problem("export.to", f"{lacks} free.", f"Free space there, choose run.root elsewhere, or {WITHOUT}.")]

    def export(self, job: Job) -> list[ArtifactExported]:
        return [_merged(job, job.place, forced=bool(job.settings.get("force")))]


EXPORTER = Merged()


def merged_folder(job: Job) -> Path:
    """The merged model of the run's trained weights, checked; made in the run's `exports/` if it is not there yet."""
    for place in dict.fromkeys((job.place, job.run.exports)):
        if placing.up_to_date(place / ARTIFACT, placing.origin(job)):
            return place / ARTIFACT
    job.writer.write(_merged(job, job.run.exports, forced=False))
    return job.run.exports / ARTIFACT


def _merged(job: Job, place: Path, *, forced: bool) -> ArtifactExported:
    """Make it at `place` if it is not there, or anyway where `forced`."""
    begun = time.monotonic()
    made_from, final = placing.origin(job), place / ARTIFACT
    if not forced and (there := placing.up_to_date(final, made_from)):
        job.tell(ARTIFACT, "is there already and up to date")
        return there
    base = Path(read_json(job.run.model)["folder"])
    merge, reason = _plan_of(job, base)
    num_bytes = merge.num_bytes if merge else placing.size_of(job.run.adapter) + placing.size_of(base)
    with placing.staged(place, ARTIFACT, made_from, num_bytes + BESIDE_WEIGHTS_BYTES) as folder:
        written = _write(job, base, merge, reason, folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        measured, notes = _check(job, folder, written)
        notes = (*written.notes, f"peak memory while merging {format_bytes(peak)}", *notes)
        (folder / "README.md").write_text(merged_card(job, written.dtype, notes), encoding="utf-8")
    return placing.remember(
        final,
        ArtifactExported(
            artifact=ARTIFACT,
            kind="merged",
            path=placing.place_name(job, final),
            num_bytes=placing.size_of(final),
            seconds=round(time.monotonic() - begun, 2),
            file_type=written.dtype,
            bits_per_weight={"float32": 32.0}.get(written.dtype, 16.0),
            notes=notes,
            **measured,
        ),
    )


def _expected_bytes(config: Mapping[str, Any]) -> int | None:
    """Bytes of the merged weights by the base's configuration, None for a family whose size nobody worked out."""
    try:
        numbers = model_shape(config).num_parameters
    except ModelError:
        return None
    return numbers * (4 if (config.get("dtype") or config.get("torch_dtype")) == "float32" else 2)


def _plan_of(job: Job, base: Path) -> tuple[Merge | None, str]:
    """The merge by names, or None and why it is left to PEFT; None too for a model that was trained whole."""
    if job.plan.method == "full":
        return None, ""
    try:
        return planned_merge(base, job.run.adapter), ""
    except UnknownLayoutError as fault:
        return None, str(fault)


def _write(job: Job, base: Path, merge: Merge | None, reason: str, folder: Path) -> Written:
    """The whole model folder but its card."""
    notes = list(read_json(job.run.model).get("notes", ()))
    _copy_small_files(job, base, folder)
    if job.plan.method == "full":
        job.tell(ARTIFACT, "copying the trained weights")
        for path in job.run.adapter.glob("*.safetensors*"):
            shutil.copyfile(path, folder / path.name)
        shutil.copyfile(job.run.adapter / "config.json", folder / "config.json")
        notes.append("the whole model was trained: this is a copy of it")
    elif merge is not None:
        throttled = Throttled(job, ARTIFACT)
        write_merged(merge, folder, lambda done, total: throttled.tell("merging", done, total))
        notes += _untie(folder) if merge.untied else []
    else:
        job.tell(ARTIFACT, "merging with PEFT")
        _merge_with_peft(job, base, folder)
        notes.append(f"merged by PEFT with the whole model in memory: {reason}")
    if job.plan.method == "qlora":
        notes.append("trained on a 4-bit base, merged into its unquantized weights")
    stored = entries(folder)
    return Written(main_dtype(folder), sum(each.num_bytes // _size(each.dtype) for each in stored.values()), (*notes,))


def _copy_small_files(job: Job, base: Path, folder: Path) -> None:
    """Everything of the base but its weights, then the tokenizer that was trained with; its README by another name."""
    leave = (".safetensors", ".safetensors.index.json", ".gguf", ".bin", ".bin.index.json", ".pt", ".pth", ".h5")
    for path in own_files(base):
        if not path.name.endswith(leave) and not path.name.startswith((".", "finetui-")):
            shutil.copyfile(path, folder / ("BASE_README.md" if path.name == "README.md" else path.name))
    for pattern in TOKENIZER_FILES:
        for path in job.run.adapter.glob(pattern):
            shutil.copyfile(path, folder / path.name)


def _untie(folder: Path) -> list[str]:
    """Head and embedding are two weights from now on."""
    config = read_json(folder / "config.json")
    config["tie_word_embeddings"] = False
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return ["the head was trained apart from the embedding it shared, so the two are written apart"]


def _merge_with_peft(job: Job, base: Path, folder: Path) -> None:
    """The way for layouts that cannot be matched by name. Needs memory for the model in its own type."""
    from peft import PeftModel
    from safetensors import SafetensorError

    from engine.training.model_loading import load_model

    model = load_model(base, dtype=main_dtype(base), trust_remote_code=job.recipe.model.trust_remote_code)
    adapted: Any = PeftModel.from_pretrained(model, str(job.run.adapter), is_trainable=False)
    try:
        adapted.merge_and_unload(safe_merge=True).save_pretrained(folder)
    except SafetensorError as fault:
        raise RuntimeError(str(fault)) from fault  # a full disk is told apart by its words
    except ValueError as fault:
        raise FinetuiError(
            f"PEFT cannot merge the adapter: {str(fault).splitlines()[0]}",
            means="The adapter is safe; nothing was exported.",
            remedy="Use the adapter as it is: finetui export … --to adapter",
        ) from fault


def main_dtype(folder: Path) -> str:
    """The type that most of the weights' bytes have, in torch's spelling. Raises ModelError for quantized ones."""
    sizes: Counter[str] = Counter()
    for entry in entries(folder).values():
        sizes[entry.dtype] += entry.num_bytes
    (most, _), *_ = sizes.most_common(1) or [("", 0)]
    if most not in DTYPES:
        raise ModelError(
            f"The weights in {folder} are of type {most or 'none'}: they are no plain weights.",
            means="An adapter can only be merged into float32, float16 or bfloat16 weights.",
            remedy="Use the model's unquantized weights as base, or export the adapter: --to adapter",
        )
    return DTYPES[most]


def _size(dtype: str) -> int:
    return 4 if dtype == "F32" else 2


def _check(job: Job, folder: Path, written: Written) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Load what was written and compare it with what was trained. Raises FinetuiError where the two differ."""
    from engine.training.model_loading import load_model

    check_folder(folder)
    device = str(job.settings.get("device") or "cpu")
    dtype = checking.precision_that_fits(written.num_parameters, written.dtype, device)
    if dtype is None:
        return {}, (f"not run: {format_bytes(checking.free_bytes(device))} of free memory do not hold it",)
    asked = checking.asked_rows(job)
    loading: dict[str, Any] = {"dtype": dtype, "device": device, "attn_implementation": job.plan.padded_attention}
    loading["trust_remote_code"] = job.recipe.model.trust_remote_code
    tuned = references.tuned(job, ARTIFACT, asked, dtype)
    job.tell(ARTIFACT, "loading what was written")
    merged, seconds = _answers_of(job, load_model(folder, **loading), asked)
    difference = checking.logit_difference(tuned.logits, merged.logits)
    bound = BOUNDS[written.dtype] if dtype == "float32" else max(BOUNDS[written.dtype], 0.1)
    if not difference <= bound:
        raise FinetuiError(
            f"The merged model's logits are {difference:.2g} away from the tuned model's; {bound:g} is the bound.",
            means="Merging changed what the model says, so it is not kept; what was exported before is as it was.",
            remedy="Export the adapter instead (--to adapter), and please report it with the base model's name.",
        )
    agreed = checking.agreement(tuned.answers, merged.answers)
    change = merged.perplexity / tuned.perplexity - 1 if merged.perplexity and tuned.perplexity else None
    notes = f"logits {difference:.1g} from the adapter on the base (bound {bound:g}, {dtype}, {asked.origin} rows)"
    measured = {
        "num_rows": len(asked.prompts),
        "agreement": agreed,
        "perplexity": merged.perplexity,
        "perplexity_change": change,
        "seconds_per_answer": None if seconds is None else round(seconds, 3),
    }
    return measured, (notes,)


def _answers_of(job: Job, model: Any, asked: Asked) -> tuple[Reference, float | None]:
    """What the written model makes of the rows, and the seconds of an answer."""
    try:
        found = references.reference(job, ARTIFACT, model, asked, "answering rows")
        return found, references.seconds_per_answer(job, model, asked)
    finally:
        del model
        checking.let_go()
