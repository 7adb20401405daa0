"""`gguf`: the merged model as GGUF files for llama.cpp, one per wanted type, each verified before it is put in place.

Merged -> F16 -> each quantization, where asked for by an importance matrix of the user's own rows. F16 stays only where
it is wanted itself. Not here: writing (`engine.gguf_writing`), quantizing (`engine.gguf_runtime`), and what a file may
lose (`verification`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import FinetuiError, ModelError
from engine.events import ArtifactExported, clip
from engine.exporters import Job, Throttled, checking, placing, references, verification
from engine.exporters.checking import Asked
from engine.exporters.merged import main_dtype, merged_folder
from engine.exporters.references import Reference
from engine.exporters.tensor_files import entries
from engine.exporters.verification import Measured
from engine.file_hashes import sha256_of
from engine.gguf_runtime import binding, importance, importance_file
from engine.gguf_runtime.file_types import WITHOUT_MATRIX, contents, foresee
from engine.gguf_runtime.quantizing import check_file_type, quantize
from engine.gguf_writing import check_gguf, problems, write_gguf
from engine.recipe import Problem, Recipe
from engine.run_dir import read_json

FOLDER = "gguf"
CHECKED_TEXTS = 3
"""Rows on which the F16 file's tokens and logits are held against the merged model's."""
NOTE_BYTES = 500


class Gguf:
    NAME = "gguf"
    HELP = "GGUF files for llama.cpp, of the types you choose, run and compared"
    NEEDS: tuple[str, ...] = ("merged",)

    def problems(self, recipe: Recipe, config: Mapping[str, Any] | None) -> list[Problem]:
        found = []
        if not binding.is_installed():
            found.append(
                Problem("export.to", "llama.cpp is not installed, which makes and checks GGUF.", binding.REMEDY)
            )
        found += [Problem("export.to", happened, remedy) for happened, remedy in problems(config or {}) if config]
        if recipe.export.imatrix and recipe.export.quantization in WITHOUT_MATRIX:
            found.append(
                Problem(
                    "export.imatrix",
                    f"{recipe.export.quantization} is not rounded by an importance matrix, so it would change nothing.",
                    "Choose Q6_K, Q5_K_M or Q4_K_M as export.quantization, or set export.imatrix to false.",
                )
            )
        return found

    def export(self, job: Job) -> list[ArtifactExported]:
        return _made(job)


EXPORTER = Gguf()


def gguf_file(job: Job) -> Path:
    """The first wanted type's file, verified; made if it is not there yet, and told then."""
    there = _Wanted.of(job)[0]
    if placing.up_to_date(there.final, there.made_from):
        return there.final
    for event in _made(job):
        job.writer.write(event)
    return there.final


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One file to be made: its type, whether by a matrix, its place, and what it is made from."""

    file_type: str
    by_matrix: bool
    final: Path
    made_from: Mapping[str, Any]

    @property
    def artifact(self) -> str:
        return f"gguf-{self.file_type}" + ("-imatrix" if self.by_matrix else "")

    @staticmethod
    def of(job: Job) -> list[_Wanted]:
        types = job.settings.get("quantizations") or [job.recipe.export.quantization]
        imatrix = bool(job.settings.get("imatrix", job.recipe.export.imatrix))
        found = []
        for file_type in types:
            by_matrix = imatrix and file_type not in WITHOUT_MATRIX
            name = f"{job.run.name}-{file_type}{'-imatrix' if by_matrix else ''}.gguf"
            made_from = placing.origin(job, file_type=file_type, imatrix=by_matrix, rows=job.settings.get("rows"))
            found.append(_Wanted(file_type, by_matrix, job.place / FOLDER / name, made_from))
        return found


def _made(job: Job) -> list[ArtifactExported]:
    """Every wanted file, those already there included. Raises the first fault once all have been tried."""
    wanted, forced = _Wanted.of(job), bool(job.settings.get("force"))
    made: dict[Path, ArtifactExported] = {}
    for each in wanted:
        if not forced and (there := placing.up_to_date(each.final, each.made_from)):
            made[each.final] = there
            job.tell(each.artifact, "is there already and up to date")
    faults: list[FinetuiError] = []
    if missing := [each for each in wanted if each.final not in made]:
        with _workshop(job, missing[0].artifact) as shop:
            for each in missing:
                try:
                    made[each.final] = shop.make(each)
                except FinetuiError as fault:
                    faults.append(fault)
    if faults:
        for event in made.values():
            job.writer.write(event)
        raise faults[0]
    return [made[each.final] for each in wanted]


@contextmanager
def _workshop(job: Job, artifact: str) -> Iterator[_Workshop]:
    """The F16 file and what all files are compared with. Raises ModelError, RunDirError, OutOfMemoryError."""
    binding.library()
    folder = merged_folder(job)
    num_bytes = sum(2 * entry.num_bytes // (4 if entry.dtype == "F32" else 2) for entry in entries(folder).values())
    place = job.place / FOLDER
    with placing.workplace(place, "source", num_bytes) as work:
        asked = checking.asked_rows(job)
        texts = [asked.tokenizer.decode(list(ids), skip_special_tokens=False) for ids in asked.whole[:CHECKED_TEXTS]]
        base, notes = _base_gguf(job)
        written = write_gguf(
            folder,
            work / "F16.gguf",
            base_gguf=base,
            name=job.run.name,
            base_model=job.recipe.model.name_or_path,
            probe_rows=texts,
            trust_remote_code=job.recipe.model.trust_remote_code,
            progress=Throttled(job, artifact).tell,
        )
        if texts:
            job.tell(artifact, "comparing logits with the merged model's")
            check_gguf(written.path, folder, texts, trust_remote_code=job.recipe.model.trust_remote_code)
        yield _Workshop(job, folder, work, written.path, asked, (*notes, *written.notes))


@dataclass(slots=True)
class _Workshop:
    """Makes one file after another of the same F16 file."""

    job: Job
    folder: Path
    work: Path
    source: Path
    asked: Asked
    notes: tuple[str, ...]
    _reference: Reference | None = None
    _matrix: Path | None = None

    def make(self, wanted: _Wanted) -> ArtifactExported:
        """Make, check, put in place. Raises FinetuiError; then what lay there before still lies there."""
        begun, final = time.monotonic(), wanted.final
        expected = foresee(contents(self.source).tensors, wanted.file_type)
        self._compare_with(wanted)
        with placing.staged_file(final.parent, final.name, wanted.made_from, expected.num_bytes) as folder:
            path, effect = folder / final.name, ""
            if wanted.file_type == "F16":
                placing.link_or_copy(self.source, path)
                check_file_type(path, wanted.file_type)
            else:
                self._quantize(path, wanted, self._matrix if wanted.by_matrix else None)
            measured = self._measured(wanted, path)
            has_pattern = self.job.recipe.evaluation.answer_pattern is not None
            verification.judge(wanted.file_type, measured, has_pattern=has_pattern)
            if wanted.by_matrix:
                effect = self._effect(wanted, folder / "without.gguf", measured)
        written = contents(final)
        assert self._reference is not None
        notes = [*self.notes, expected.sentence, effect, *verification.in_words(self.job, measured, self._reference)]
        event = ArtifactExported(
            artifact=wanted.artifact,
            kind="gguf",
            path=placing.place_name(self.job, final),
            num_bytes=written.num_bytes,
            seconds=round(time.monotonic() - begun, 2),
            file_type=wanted.file_type,
            bits_per_weight=round(written.bits_per_weight, 2),
            num_rows=measured.num_rows,
            agreement=measured.agreement,
            perplexity=measured.perplexity,
            perplexity_change=measured.change,
            seconds_per_answer=None if measured.seconds_per_answer is None else round(measured.seconds_per_answer, 3),
            notes=tuple(clip(note, NOTE_BYTES) for note in notes if note),
        )
        return placing.remember(final, event)

    def _compare_with(self, wanted: _Wanted) -> None:
        """Get what all files share: what the tuned model answers, and the importance of the columns."""
        job, device = self.job, str(self.job.settings.get("device") or "cpu")
        stored = entries(self.folder).values()
        num_parameters = sum(entry.num_bytes // (4 if entry.dtype == "F32" else 2) for entry in stored)
        dtype = checking.precision_that_fits(num_parameters, main_dtype(self.folder), device) or "bfloat16"
        if self._reference is None:
            self._reference = references.tuned(job, wanted.artifact, self.asked, dtype)
        if not wanted.by_matrix or self._matrix is not None:
            return
        from engine.training.model_loading import load_model

        job.tell(wanted.artifact, "loading the merged model")
        model: Any = load_model(
            self.folder,
            dtype=dtype,
            device=device,
            attn_implementation=job.plan.padded_attention,
            trust_remote_code=job.recipe.model.trust_remote_code,
        )
        try:
            self._matrix = self._measure_importance(wanted, model)
        finally:
            del model
            checking.let_go()

    def _measure_importance(self, wanted: _Wanted, model: Any) -> Path:
        job = self.job
        rows = importance.training_rows(
            job.run.dataset,
            max_length=job.plan.max_length,
            on_overflow=job.recipe.data.on_overflow,
            seed=job.recipe.training.seed,
        )
        throttled = Throttled(job, wanted.artifact)
        found = importance.measure(
            model,
            self.source,
            rows,
            f"{len(rows)} training rows of {job.run.name}, formatted as trained",
            lambda done, total: throttled.tell("measuring importance", done, total),
        )
        self.notes = (
            *self.notes,
            f"importance matrix from {found.num_rows} training rows ({found.num_tokens:,} tokens), kept beside it",
        )
        name = f"{job.run.name}.imatrix"
        made_from = placing.origin(job, rows=found.num_rows, tokens=found.num_tokens)
        with placing.staged_file(wanted.final.parent, name, made_from) as folder:
            importance_file.write_importance(folder / name, found)
        return wanted.final.parent / name

    def _quantize(self, path: Path, wanted: _Wanted, matrix: Path | None) -> None:
        throttled = Throttled(self.job, wanted.artifact)
        doing = f"quantizing to {wanted.file_type}" + (" with the matrix" if matrix else "")
        quantize(
            self.source,
            path,
            wanted.file_type,
            importance=matrix,
            progress=lambda done, total: throttled.tell(doing, done, total),
        )

    def _measured(self, wanted: _Wanted, path: Path) -> Measured:
        assert self._reference is not None
        self.job.tell(wanted.artifact, "loading what was written")
        return verification.measure(self.job, wanted.artifact, path, self._reference)

    def _effect(self, wanted: _Wanted, path: Path, measured: Measured) -> str:
        """What the matrix changed, by making the file without it too; that one is dropped."""
        self._quantize(path, wanted, None)
        without = self._measured(wanted, path)
        return verification.effect_in_words(without, measured, path.stat().st_size)


def _base_gguf(job: Job) -> tuple[Path | None, tuple[str, ...]]:
    """The GGUF file that the base came from, whose tokenizer and licence are taken over, and what to say of it."""
    from engine.model_source import fetch, locate

    record = read_json(job.run.model)
    if record.get("kind") not in ("gguf", "bundled"):
        return None, ()
    try:
        source = locate(job.recipe.model.name_or_path, base_dir=job.run.path)
        path = fetch(source, offline=True)
    except ModelError:
        path = None
    if path is None or sha256_of(path) != record["files"][0]["sha256"]:
        return None, ("the base's GGUF file is gone or changed, so its tokenizer was written from the model folder",)
    return path, tuple(record.get("notes", ()))
