"""`finetui data mix`: several datasets as one, by weight."""

from __future__ import annotations

import shlex
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

from data.loading import Rows
from data.sources import SourceSettings, reading_notes
from data.understanding.detection import Detection
from data.understanding.undecided import UndecidedError
from data.writing.conversion import SAME, Conversion, columns_for, without_misfits, write_rows
from data.writing.mixing import STOPPING, Ingredient, Mixture, SharedRequests
from engine.errors import DataError, RecipeError
from tui_app.data_options.outputs import (
    Account,
    add_output,
    begun_output,
    finished,
    identity_of,
    interruptible,
    watched,
)
from tui_app.shell_words import shell_words

HELP = "several datasets as one, by weight, in one format"
USAGE = "[OPTIONS] ROWS=WEIGHT ROWS=WEIGHT ... -o OUT"


def add(parser: ArgumentParser) -> None:
    """Several datasets, one output."""
    parser.add_argument(
        "mix", nargs="+", metavar="ROWS=WEIGHT", help="a dataset and how often it is drawn: a.jsonl=0.7"
    )
    add_output(parser)
    parser.add_argument("--rows", type=int, metavar="N", help="write at most N rows")
    parser.add_argument("--seed", type=int, default=42, metavar="S", help="42 if left out")
    parser.add_argument(
        "--stopping-strategy",
        choices=list(STOPPING),
        default="first_exhausted",
        metavar="WHEN",
        help="first_exhausted (default) or all_exhausted",
    )
    parser.add_argument("--to", default="messages", metavar="FORMAT", help="of the rows written; messages")
    parser.add_argument("--source-column", metavar="NAME", help="a column that names each row's dataset")
    parser.add_argument("--offline", action="store_true", help="never use the network")


def run(options: Namespace) -> int:
    """Draw, convert, write."""
    mixture = mixture_of(options)
    sources = [one.rows.source for one in mixture.ingredients]
    inputs = [file for source in sources for file in source.files()]
    identity = identity_of("mix", options, inputs, options.mix)
    with (
        interruptible(begun_output(options, identity)) as output,
        tempfile.TemporaryDirectory(prefix="finetui-") as folder,
    ):
        columns, misfits = columns_for(output.kind, watched(mixture, "looking at columns"))
        output.with_columns(columns)
        mixture.shared = SharedRequests(Path(folder))
        rows = without_misfits(watched(mixture, "mixing"), misfits)
        tally = write_rows(rows, output, lambda _: "train", options.skip_bad)
        shared = mixture.shared.counted()
        poured = {one.name: part for one, part in zip(mixture.ingredients, mixture.poured, strict=True)}
        told = {name: {"rows": part.num_rows, "restarts": part.num_restarts} for name, part in poured.items()}
        reasons = "; ".join(f"{one.name}: {one.rows.source.detection.format}" for one in mixture.ingredients)
        certainty = min(source.detection.certainty for source in sources)
        account = Account(
            f"{len(poured)} datasets, mixed",
            identity,
            inputs,
            Detection(options.to, certainty, reasons),
            tally,
            _notes(mixture, shared),
            {"sources": told, "duplicates": dict(shared)},
            reading_notes(part for source in sources for part in source.parts),
        )
        print(finished(options, output, account))
    return 0


def mixture_of(options: Namespace) -> Mixture:
    """What the options name. Raises RecipeError for words that are no ROWS=WEIGHT, DataError for the datasets."""
    if options.to == SAME:
        raise RecipeError(
            "--to same brings the datasets to no common format.",
            means="Their rows could not be read as one dataset.",
            remedy="Name a format, for example --to messages.",
        )
    if options.rows is not None and options.rows < 1:
        raise RecipeError(f"--rows is {options.rows}.", means="Nothing would be written.", remedy="Give 1 or more.")
    if options.source_column == "":
        raise RecipeError(
            "--source-column names no column.", means="It is given an empty name.", remedy="For example: source"
        )
    weights = dict(map(_weighed, options.mix))
    if len(weights) < len(options.mix) or len(weights) < 2:
        raise RecipeError(
            "A mixture takes two different datasets or more.",
            means=f"Given: {shlex.join(options.mix)}.",
            remedy="For example: finetui data mix a.jsonl=0.7 b.jsonl=0.3 -o mixed.jsonl",
        )
    settings = SourceSettings(offline=options.offline, seed=options.seed)
    ingredients = [
        Ingredient(name, weight, Conversion(_rows_named(name, settings, options.to), options.to))
        for name, weight in weights.items()
    ]
    return Mixture(ingredients, options.seed, options.rows, options.stopping_strategy, options.source_column)


def _rows_named(name: str, settings: SourceSettings, to: str) -> Rows:
    """One dataset. Raises DataError that says which one it is and how to bring it into a format."""
    try:
        return Rows(name, settings)
    except UndecidedError as fault:
        file = Path(name.rpartition(":")[2]).name.split(".")[0] or "rows"
        out = f"{file}.jsonl" if not Path(f"{file}.jsonl").exists() else f"{file}-{to}.jsonl"
        ways = [proposal.options for proposal in fault.proposals] or ["--column prompt=… --column completion=…"]
        words = [
            f"  finetui data convert {shell_words([name])} {way} --to {to} -o {shell_words([out])}" for way in ways
        ]
        first = "Write it in a format first" + (", by the one of these that is meant:" if len(ways) > 1 else ":")
        raise DataError(
            f"{name}: {fault.happened}",
            means=fault.means,
            remedy="\n".join([first, *words, f"Then mix {out} in its place."]),
        ) from fault


def _weighed(word: str) -> tuple[str, float]:
    name, equals, weight = word.rpartition("=")
    try:
        if name and equals:
            return name, float(weight)
    except ValueError:
        pass
    raise RecipeError(
        f"{word} is not ROWS=WEIGHT.",
        means="Every dataset takes a weight: how often it is drawn, in proportion to the others.",
        remedy="For example: finetui data mix a.jsonl=0.7 b.jsonl=0.3 -o mixed.jsonl",
    )


def _notes(mixture: Mixture, shared: Mapping[str, int]) -> list[str]:
    total = sum(part.num_rows for part in mixture.poured)
    heaviest = max(one.weight for one in mixture.ingredients)
    shares = sum(one.weight / heaviest for one in mixture.ingredients)
    notes = []
    for one, part in zip(mixture.ingredients, mixture.poured, strict=True):
        again = f", begun anew {part.num_restarts} times" if part.num_restarts else ""
        share = f"{part.num_rows / max(total, 1):.1%}, wanted {one.weight / heaviest / shares:.1%}"
        notes.append(f"{one.name}: {part.num_rows:,} rows ({share}){again}")
    if mixture.num_rows is not None and total < mixture.num_rows:
        notes.append(
            f"{total:,} of the {mixture.num_rows:,} rows asked for: a dataset had no row left "
            "(--stopping-strategy all_exhausted begins it anew)."
        )
    notes.append(
        f"Same request in several datasets: {shared['across']:,}; again in its own: {shared['within']:,} rows."
        " They are kept."
    )
    return notes
