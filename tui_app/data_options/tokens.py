"""Options that name a model for rows on the command line, and the recipe that they stand for together.

Not here: how rows are read (`rows`), and what the commands do (`data_commands/`).
"""

from __future__ import annotations

import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from data.loading import AUTO, Rows
from engine.errors import RecipeError
from tui_app.data_options.rows import STDIN, add_dataset, hide_reading

if TYPE_CHECKING:
    from engine.recipe import Recipe


def add_rows(parser: ArgumentParser) -> None:
    """The dataset; of the options on how it is read the help shows few, since the model's stand below them."""
    add_dataset(parser)
    hide_reading(parser)


def add_model(parser: ArgumentParser) -> None:
    """Whose tokens are counted or shown."""
    how = parser.add_argument_group("tokens, with a model's own chat template")
    how.add_argument("--model", metavar="M", help="bundled:NAME, a folder, or a hub model in the cache")
    how.add_argument("--recipe", metavar="R", help="preset, recipe file or run: model, length, reading")
    how.add_argument("--max-length", type=int, metavar="N", help="longest row in tokens; 1024 if not said")
    how.add_argument("--last-answer", action="store_true", help="of each conversation, train the last answer only")


def wants_tokens(options: Namespace) -> bool:
    """Whether a model is named. Raises RecipeError for options that mean nothing without one."""
    if options.model is not None or options.recipe is not None:
        return True
    for name in ("max_length", "last_answer", "sample", "batch_size", "tokens"):
        if getattr(options, name, None):
            raise RecipeError(
                f"--{name.replace('_', '-')} has no effect without a model.",
                means="Tokens are those of one model's tokenizer.",
                remedy="Add --model bundled:NAME, a folder or a hub model; or --recipe with a preset or recipe file.",
            )
    return False


@contextmanager
def readable_elsewhere(rows: Rows) -> Iterator[str]:
    """The dataset as another process can read it: what came through a pipe is copied to a file meanwhile.

    Raises RecipeError where the pipe brought an archive of several files.
    """
    if rows.dataset != STDIN:
        yield rows.dataset
        return
    blobs = [part.blob for part in rows.parts]
    if len(blobs) != 1 or blobs[0] is None:
        raise RecipeError(
            "An archive of several files came through a pipe.",
            means="The process that counts tokens cannot read it from there.",
            remedy="Save it to a file, and name that.",
        )
    with TemporaryDirectory(prefix="finetui-") as folder:
        path = Path(folder) / f"stdin{blobs[0].suffix}"
        with blobs[0].open() as source, path.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        yield str(path)


def recipe_for(options: Namespace, rows: Rows, dataset: str) -> tuple[Recipe, Path]:
    """The recipe that these rows and this model make, paths absolute, and its folder. Raises RecipeError."""
    from engine.recipe import Recipe
    from engine.starting import with_absolute_paths
    from tui_app.recipe_source import source_of

    base = Path.cwd()
    values: dict[str, Any] = {"model": {}, "data": {}}
    if options.recipe is not None:
        source = source_of(options.recipe, ())
        base = source.base_dir
        values = source.recipe.model_dump(mode="json", exclude_none=True)
        # Of the recipe's rows nothing is left but how they are rendered; the splits are not made here.
        kept = ("rendering", "completion_only_loss", "trained_answers", "system", "on_overflow", "seed")
        values["data"] = {name: values["data"][name] for name in kept if name in values["data"]}
        values["ladder"] = {"enabled": False}  # what it allowed would be a fault with the ladder off
    if options.model is not None:
        values["model"] = {"name_or_path": options.model}
    shape = rows.shape
    values["data"] |= {"dataset": dataset, "eval_fraction": 0, "test_fraction": 0}
    values["data"] |= _given(
        format=None if shape.format == AUTO else shape.format,
        template=shape.template,
        columns=dict(shape.columns) or None,
        system=shape.system,
        subset=options.subset,
        split=options.split,
        revision=options.revision,
        generator_rows=options.generator_rows,
        max_rows=rows.max_rows,
        trained_answers="last" if options.last_answer else None,
    )
    values["model"] |= {"offline": True}
    values["evaluation"] = {"enabled": False}
    values["training"] = values.get("training", {}) | _given(max_length=options.max_length)
    return with_absolute_paths(Recipe.from_values(values), base), base


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
