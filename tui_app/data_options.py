"""Options that name a dataset on the command line, and what they stand for: the same words as the recipe's [data].

Not here: what the commands of `finetui data` do (`data_commands/`).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from data.loading import AUTO, Rows, Shape
from data.sources import SourceSettings
from engine.errors import RecipeError

WHERE = "file, folder, hub dataset (owner/name), generator:NAME, or - for stdin"


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
    )


def rows_of(options: Namespace, dataset: str | None = None) -> Rows:
    """The rows that the options name. Raises DataError or RecipeError."""
    if options.max_rows is not None and options.max_rows < 1:
        raise RecipeError(
            f"--max-rows is {options.max_rows}.",
            means="No row would be read.",
            remedy="Give 1 or more, or leave it out.",
        )
    return Rows(dataset or options.dataset, source_of(options), shape_of(options), options.max_rows)


def _renamed(word: str) -> tuple[str, str]:
    new, equals, old = word.partition("=")
    if not (new and equals and old):
        raise RecipeError(
            f"--column {word} is not NEW=OLD.",
            means="It says which column of the file the format's column is.",
            remedy="For example: --column prompt=question_text --column completion=reply",
        )
    return new, old
