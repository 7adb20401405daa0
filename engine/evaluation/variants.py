"""Who answers: the base model in one or two ways, the tuned one, and every artifact that a run has. One line each.

Only which there are and what they are called; loads no library. Not here: running them (`contenders`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.conversation import Conversation
from data.nearest import nearest
from engine.checkpoints import MANIFEST
from engine.errors import RecipeError
from engine.evaluation.request import Asked
from engine.recipe import Recipe
from engine.run_dir import RunDir, read_json

Kind = Literal["base", "tuned", "merged", "gguf"]
KINDS: tuple[Kind, ...] = ("base", "tuned", "merged", "gguf")
_FILE_TYPE = re.compile(r"(?:^|[-._])((?:I?Q\d|TQ\d|BF16|F16|F32|MXFP4)\w*(?:-imatrix)?)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Variant:
    """One line of the result table. `path` is the adapter, model folder or file; None where the run's model.json says.

    `has_examples`: with examples before the question, which are found among the training rows.
    """

    name: str
    title: str
    kind: Kind
    path: Path | None = None
    has_examples: bool = False
    shots: tuple[Conversation, ...] = ()

    @property
    def is_tuned(self) -> bool:
        return self.kind != "base"


def variants_of(run: RunDir, recipe: Recipe, asked: Asked | None) -> list[Variant]:
    """The variants to be scored, the base first; None is the run's own stage, which knows no artifacts.

    Raises RecipeError for one that is not there, naming the nearest.
    """
    there = _there(run, recipe, asked)
    wanted = asked.variants if asked else None
    if wanted is None:
        return there
    names = [word for variant in there for word in (variant.name, variant.kind)]
    for word in wanted:
        if word not in names:
            raise _absent(word, run, list(dict.fromkeys(names)))
    return [variant for variant in there if variant.name in wanted or variant.kind in wanted]


def _there(run: RunDir, recipe: Recipe, asked: Asked | None) -> list[Variant]:
    if asked and asked.gguf:
        path = Path(asked.gguf)
        return [Variant(gguf_name(path), f"{path.name}, llama.cpp", "gguf", path)]
    adapter = Path(asked.adapter) if asked and asked.adapter else run.adapter
    has_adapter = asked is None or (adapter / "adapter_config.json").exists() or (adapter / MANIFEST).exists()
    stem = recipe.model.name_or_path.rstrip("/").rpartition("/")[2].removeprefix("bundled:")
    found = []
    baselines: Sequence[str] = recipe.evaluation.baselines
    if asked and asked.num_examples is not None:
        baselines = [each for each in baselines if each != "examples"]
        baselines = [*baselines, *(["examples"] if asked.num_examples else [])]
    if asked is not None or "zero_shot" in baselines:
        found.append(Variant("base_zero_shot", "base, zero-shot" if has_adapter else stem, "base"))
    if "examples" in baselines and (run.dataset / "train.jsonl").exists():
        found.append(Variant("base_examples", "base, examples in the prompt", "base", has_examples=True))
    if has_adapter:
        found.append(Variant("tuned", "tuned", "tuned", adapter))
    if asked is None or asked.adapter:
        return found
    merged = run.exports / "merged"
    if (merged / "config.json").exists():
        found.append(Variant("merged", "merged", "merged", merged))
    files = sorted(path for path in (run.exports / "gguf").glob("*.gguf") if not path.name.startswith("."))
    return found + [Variant(gguf_name(path), f"GGUF {file_type_of(path)}", "gguf", path) for path in files]


def gguf_name(path: Path) -> str:
    """gguf-Q8_0 for model-Q8_0.gguf: a name for the line, the answers and the command line."""
    return f"gguf-{re.sub(r'[^A-Za-z0-9_.-]+', '-', file_type_of(path))}"


def file_type_of(path: Path) -> str:
    """The type at the end of a file's name; the whole name where there is none."""
    match = _FILE_TYPE.search(path.stem)
    return match[1] if match else path.stem


def identity(variant: Variant, run: RunDir) -> str:
    """A hash of the weights behind a variant, as far as names, sizes and times tell: changed ones answer anew."""
    told: list[object] = [variant.kind]
    if variant.kind in ("base", "tuned"):
        record = read_json(run.model)
        told.append(record.get("files", record["folder"]))
    if variant.path is not None:
        manifest = variant.path / MANIFEST
        if manifest.exists():
            told.append(manifest.read_text(encoding="utf-8"))
        else:
            told.append([(path.name, *_state(path)) for path in _files(variant.path)])
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _files(path: Path) -> Iterable[Path]:
    return [path] if path.is_file() else sorted(each for each in path.iterdir() if each.is_file())


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _absent(word: str, run: RunDir, names: list[str]) -> RecipeError:
    near = nearest(word, names)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    made = f" Make it first: finetui export {run.typed} --to {word.partition('-')[0]}"
    return RecipeError(
        f"Run {run.name} has no variant {word!r}.",
        means=f"There are: {', '.join(names) or 'none'}.",
        remedy=meant + (made.strip() if word in ("merged", "gguf") or word.startswith("gguf") else ""),
    )
