"""What a recipe wants of `data`, and whether its rows can be there at all. Reads nothing but names.

Not here: reading rows (`data.preparation`) and tokenizing them (`training.prepare`).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from data.file_choice import is_archive_name, row_suffix
from data.loading import AUTO
from data.preparation import DataRequest
from engine.errors import DataError
from engine.recipe import Recipe

ELSEWHERE = re.compile(r"(generator:|hub:).*|[\w.-]+/[\w.-]+", re.ASCII)
"""Generators, and what may be a hub dataset: owner/name."""


def data_request(recipe: Recipe) -> DataRequest:
    """What the recipe wants of `data`, with the cache this machine uses."""
    data = recipe.data
    return DataRequest(
        dataset=data.dataset,
        format=data.format,
        template=data.template,
        columns=dict(data.columns),
        system=data.system,
        eval_fraction=data.eval_fraction,
        test_fraction=data.test_fraction,
        eval_dataset=data.eval_dataset,
        test_dataset=data.test_dataset,
        unseen_answers=data.unseen_answers,
        answer_pattern=recipe.evaluation.answer_pattern,
        max_rows=data.max_rows,
        seed=data.seed,
        subset=data.subset,
        split=data.split,
        revision=data.revision,
        generator_rows=data.generator_rows,
        offline=recipe.model.offline,
        cache_dir=None,
    )


def command_words(request: DataRequest) -> str:
    """The words that name the rows of `request`, and how they are read, for the commands of `finetui data`."""
    options = {
        "--format": None if request.format == AUTO else request.format,
        "--template": request.template,
        "--system": request.system,
        "--subset": request.subset,
        "--split": request.split,
        "--revision": request.revision,
        "--generator-rows": request.generator_rows,
        "--max-rows": request.max_rows,
    }
    words = [request.dataset]
    for name, value in options.items():
        words += [name, str(value)] if value is not None else []
    for new, old in request.columns.items():
        words += ["--column", f"{new}={old}"]
    return shlex.join(words)


def names_rows(name: str) -> bool:
    """Whether a file's name ends as those do that rows are read from, packed and in archives too."""
    from data.readers import readers

    return row_suffix(name) in readers() or is_archive_name(name)


def missing_rows(recipe: Recipe, base_dir: Path) -> DataError | None:
    """The error for the first file of rows that is not here; None when all are, or are not files.

    Expects a recipe whose existing paths are absolute already.
    """
    data = recipe.data
    for field in ("dataset", "eval_dataset", "test_dataset"):
        written = getattr(data, field)
        if written is None or Path(written).is_absolute():
            continue
        if ELSEWHERE.fullmatch(written) and not names_rows(written):
            continue
        here = sorted(path.name for path in Path.cwd().iterdir() if names_rows(path.name))
        there = f"Rows lying here: {', '.join(here[:8])}." if here else f"Name them: --set data.{field}=/path/to/rows"
        return DataError(
            f"data.{field}: there is no {written} in {' or '.join(dict.fromkeys([str(base_dir), str(Path.cwd())]))}.",
            means="Relative paths count from the recipe's folder, then from the folder finetui is started in.",
            remedy=there,
        )
    return None
