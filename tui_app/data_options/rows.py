"""Options that name a dataset on the command line, and what they stand for: the same words as the recipe's [data].

Not here: what the commands of `finetui data` do (`data_commands/`).
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from data.errors import DataError
from data.loading import AUTO, Rows, Shape
from data.sources import SourceSettings
from engine.errors import RecipeError
from tui_app.data_options.asking import can_ask, typed, understood

if TYPE_CHECKING:
    from engine.recipe_sections import DataSection

STDIN = "-"
WHERE = "file, folder, hub dataset (owner/name), generator:NAME, or - for stdin"


NUM_TRIED = 20
"""Rows of which one must be readable as a recipe reads its own."""
READING = "How rows are read (--format, --template, --column …): finetui data --help"
"""The last line of a command's help, in place of options that all commands have."""


def add_dataset(parser: ArgumentParser, name: str = "dataset") -> None:
    """The positional argument for the rows, and how they are to be read."""
    parser.add_argument(name, metavar="ROWS", help=WHERE)
    add_shape(parser)
    parser.add_argument("--max-rows", type=int, metavar="N", help="read only the first N rows")


def add_shape(parser: ArgumentParser) -> None:
    """How rows are read and understood."""
    how = parser.add_argument_group("how the rows are read")
    how.add_argument("--format", default=AUTO, metavar="NAME", help="for example alpaca or messages; auto detects it")
    how.add_argument("--template", metavar="TEXT", help=r"'Task: {text}\nSolution: {code}'; the last field answers")
    how.add_argument(
        "--column", action="append", default=[], metavar="NEW=OLD", help="the format's name = the file's column"
    )
    how.add_argument("--system", metavar="TEXT", help="system message for conversations that have none")
    how.add_argument("--subset", metavar="NAME", help="folder of a hub dataset")
    how.add_argument("--split", metavar="NAME", help="train, validation, test or all")
    how.add_argument("--revision", metavar="NAME", help="branch, tag or commit of a hub dataset")
    how.add_argument("--generator-rows", type=int, metavar="N", help="rows that generator:NAME makes")
    how.add_argument("--offline", action="store_true", help="never use the network")


def reading_help() -> str:
    """The options on how rows are read, as a help page shows them."""
    parser = ArgumentParser(add_help=False, usage=SUPPRESS)
    add_shape(parser)
    return parser.format_help().replace("how the rows are read:", "how rows are read, in every command:")


def hide_reading(parser: ArgumentParser) -> None:
    """Leave those options out of a command's own page: it must fit a screen."""
    own = ArgumentParser(add_help=False)
    add_shape(own)
    for action in parser._actions:
        if set(action.option_strings) & {word for each in own._actions for word in each.option_strings}:
            action.help = SUPPRESS
    parser.epilog = READING


def shape_of(options: Namespace) -> Shape:
    """How rows are to be understood. Raises RecipeError for a --column that is no NEW=OLD."""
    template = options.template
    if template is not None:
        # A shell passes \n on as two characters.
        template = template.replace("\\n", "\n").replace("\\t", "\t")
    return Shape(options.format, template, dict(map(_renamed, options.column)), options.system)


def source_of(options: Namespace) -> SourceSettings:
    """Which rows of the dataset are meant."""
    return SourceSettings(
        subset=options.subset,
        split=options.split,
        revision=options.revision,
        generator_rows=options.generator_rows,
        seed=getattr(options, "seed", 42),
        offline=options.offline,
        stream=True,
    )


def check_max_rows(options: Namespace) -> None:
    """Raises RecipeError for a --max-rows that leaves nothing."""
    if options.max_rows is not None and options.max_rows < 1:
        raise RecipeError(
            f"--max-rows is {options.max_rows}.",
            means="No row would be read.",
            remedy="Give 1 or more, or leave it out.",
        )


def rows_of(options: Namespace, dataset: str | None = None, like: DataSection | None = None) -> Rows:
    """The rows that the options name; on a terminal, somebody is asked what cannot be told from the rows.

    `like`: how a recipe reads its own rows, which counts where no option says otherwise and these rows can be read so.
    Raises DataError or RecipeError.
    """
    check_max_rows(options)
    name = dataset or options.dataset
    like = like or _recipes_own(options)

    def opened(shape: Shape) -> Rows:
        return Rows(name, source_of(options), shape, options.max_rows)

    may_ask = can_ask() and name != STDIN and not getattr(options, "json", False)
    rows = _read_alike(opened, options, like) if like is not None and name != STDIN else None
    rows = rows or understood(opened, shape_of(options), answer_from=typed if may_ask else None)
    if dataset is None:
        # What was answered is part of what the command was told, as if it had been typed as options.
        options.format, options.template = rows.shape.format, rows.shape.template
        options.column = [f"{new}={old}" for new, old in rows.shape.columns.items()]
    return rows


def _recipes_own(options: Namespace) -> DataSection | None:
    """How the recipe reads rows that a command was given for its tokens; None without one."""
    if getattr(options, "recipe", None) is None:
        return None
    from tui_app.recipe_source import source_of as recipe_source

    return recipe_source(options.recipe, ()).recipe.data


def _read_alike(opened: Callable[[Shape], Rows], options: Namespace, like: DataSection) -> Rows | None:
    """The rows in the recipe's words or columns; None where an option says how, or no row can be read so."""
    said = options.format != AUTO or options.template is not None or options.column
    if said or (like.template is None and not like.columns):
        return None
    try:
        rows = opened(Shape(like.format, like.template, dict(like.columns), options.system))
    except DataError:
        return None
    return rows if any(row.example is not None for row in islice(rows, NUM_TRIED)) else None


def _renamed(word: str) -> tuple[str, str]:
    new, equals, old = word.partition("=")
    if not (new and equals and old):
        raise RecipeError(
            f"--column {word} is not NEW=OLD.",
            means="It says which column of the file the format's column is.",
            remedy="For example: --column prompt=question_text --column completion=reply",
        )
    return new, old
