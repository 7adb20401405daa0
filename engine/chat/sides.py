"""Who answers: the tuned model of a run, its base, its merged model or one of its GGUF files; found by a word.

Loads no library. Not here: running them (`speakers`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data.nearest import nearest
from engine.checkpoints import MANIFEST
from engine.errors import RecipeError, RunDirError
from engine.evaluation.targets import Subject, evaluation_run, run_of, subject_in, subject_of
from engine.evaluation.variants import file_type_of
from engine.gguf_runtime import binding
from engine.requests import is_evaluation_only
from engine.run_dir import RunDir, list_runs

Kind = Literal["tuned", "base", "merged", "gguf"]
USUAL_TYPE = "Q4_K_M"
"""The file that `gguf` means where a run has several."""
WORDS = ("adapter", "base", "merged", "gguf", "gguf:TYPE")


@dataclass(frozen=True, slots=True)
class Side:
    """One who answers. `run` is the folder whose tokenizer and recipe say how it is asked, `path` its weights."""

    name: str
    title: str
    kind: Kind
    run: Path
    path: Path | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "kind": self.kind,
            "run": str(self.run),
            "path": None if self.path is None else str(self.path),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Side:
        path = value["path"]
        return cls(value["name"], value["title"], value["kind"], Path(value["run"]), path and Path(path))


def subject_run(word: str | None, *, offline: bool = False) -> RunDir:
    """The run that a word names, or a folder made for a model; without a word the newest run with a result.

    Raises RunDirError or ModelError.
    """
    if word is None:
        return newest_trained()
    return run_of(word) or evaluation_run(subject_of(word), {}, offline)


def newest_trained() -> RunDir:
    """The run changed last that has a trained result. Raises RunDirError where there is none."""
    runs = list_runs()
    for run in reversed(runs):
        if is_trained(run):
            return run
    raise RunDirError(
        f"None of the {len(runs)} runs has a trained result yet." if runs else "There is no run yet.",
        means="Nobody is there to talk to.",
        remedy="Train one: finetui. Or talk to a model as it is: finetui chat bundled:smollm2-135m-instruct",
    )


def is_trained(run: RunDir) -> bool:
    """Whether a run's result is in place."""
    return any((run.adapter / name).exists() for name in (MANIFEST, "adapter_config.json", "config.json"))


def sides_of(run: RunDir, word: str | None, against: str | None) -> tuple[Side, ...]:
    """Who answers, and whom beside it; without a word the tuned model, or the model itself that `run` was made for.

    Raises RecipeError for a word that names nobody, RunDirError for what is not trained or not exported yet, and
    ModelError where llama.cpp is missing.
    """
    first = side_of(run, word or "adapter")
    if against is None:
        return (first,)
    second = side_of(run, against)
    if (second.kind, second.path) == (first.kind, first.path):
        raise RecipeError(
            f"{first.title} cannot be put beside itself.",
            means="Both sides would give the same answers.",
            remedy="Choose another one for --against, or leave it out.",
        )
    return first, second


def side_of(run: RunDir, word: str) -> Side:
    """The side that a word names, for `run`. Errors as `sides_of`."""
    subject = subject_in(run) if is_evaluation_only(run) else None
    if word in ("adapter", "tuned"):
        return _trained(run) if subject is None else _as_it_is(run, subject)
    if word == "base":
        return Side("base", _base_title(run, subject), "base", run.path)
    if word == "merged":
        folder = run.exports / "merged"
        if not (folder / "config.json").exists():
            raise _not_exported(run, "merged")
        return Side("merged", "merged", "merged", run.path, folder)
    if word == "gguf" or word.startswith("gguf:"):
        return _exported_file(run, word.partition(":")[2])
    if word.lower().endswith(".gguf"):
        path = Path(word).expanduser().absolute()
        if not path.is_file():
            raise RecipeError(f"There is no file {path}.", remedy=f"Those of {run.name}: {run.exports / 'gguf'}")
        return _in_llama_cpp(run, path)
    try:
        return _trained(RunDir.open(word), is_other=True)
    except RunDirError as fault:
        if fault.happened.startswith("There is no run"):
            near = nearest(word, WORDS)
            raise RecipeError(
                f"{word!r} names nobody who could answer.",
                means=f"There are: {', '.join(WORDS)}, the path of a .gguf file, or another run.",
                remedy=f"Did you mean {' or '.join(near)}?" if near else "Choose one of them.",
            ) from None
        raise


def _trained(run: RunDir, *, is_other: bool = False) -> Side:
    if is_trained(run):
        return Side(run.name if is_other else "tuned", f"tuned, {run.name}", "tuned", run.path, run.adapter)
    raise RunDirError(
        f"Run {run.name} has no trained result yet.",
        means="It goes on, or it ended before training was over.",
        remedy=f"See how it stands: finetui status {run.typed}. Its base answers: finetui chat {run.typed} --with base",
    )


def _as_it_is(run: RunDir, subject: Subject) -> Side:
    """The model that a folder was made for."""
    if subject.gguf is not None:
        return _in_llama_cpp(run, Path(subject.gguf))
    if subject.adapter is not None:
        return Side("tuned", f"tuned, {subject.name}", "tuned", run.path, Path(subject.adapter))
    return Side("base", _base_title(run, subject), "base", run.path)


def _base_title(run: RunDir, subject: Subject | None) -> str:
    if subject is not None and subject.adapter is None:
        return subject.name
    from engine.recipe import Recipe

    stem = Recipe.load(run.recipe).model.name_or_path.rstrip("/").rpartition("/")[2].removeprefix("bundled:")
    return f"base, {stem}"


def _exported_file(run: RunDir, wanted: str) -> Side:
    files = {file_type_of(path): path for path in sorted((run.exports / "gguf").glob("[!.]*.gguf"))}
    if not files:
        raise _not_exported(run, "gguf")
    if not wanted:
        usual = [kind for kind in files if kind.startswith(USUAL_TYPE)]
        return _in_llama_cpp(run, files[usual[0] if usual else next(iter(files))])
    by_lower = {kind.lower(): path for kind, path in files.items()}
    if wanted.lower() not in by_lower:
        near = nearest(wanted.upper(), files)
        raise RunDirError(
            f"Run {run.name} has no GGUF file of the type {wanted}.",
            means=f"It has: {', '.join(files)}.",
            remedy=(f"Did you mean {' or '.join(near)}? " if near else "")
            + f"To make it: finetui export {run.typed} --to gguf",
        )
    return _in_llama_cpp(run, by_lower[wanted.lower()])


def _in_llama_cpp(run: RunDir, path: Path) -> Side:
    if not binding.is_installed():
        binding.library()  # says so, and how to get it
    kind = file_type_of(path)
    title = path.name if kind == path.stem else f"GGUF {kind}"
    return Side(f"gguf-{kind}", title, "gguf", run.path, path)


def _not_exported(run: RunDir, what: str) -> RunDirError:
    return RunDirError(
        f"Run {run.name} has no {'merged model' if what == 'merged' else 'GGUF file'} yet.",
        means="It is made from the trained result when it is asked for.",
        remedy=f"Make it: finetui export {run.typed} --to {what}",
    )
